package shm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ReadOnlyFile returns a new descriptor of s's object that is open for reading
// only, for exec.Cmd.ExtraFiles, Send or another program: a peer sees what
// this process goes on writing, and cannot write itself. The caller closes it.
//
// What such a descriptor alone keeps its receiver from: writable mappings,
// mprotect, write(2), truncating, punching holes, sealing. What it does not: a
// receiver that has this process's user ID, or root's, opens the object again
// for writing, by its name or through /proc/PID/fd. Against that, seal a memfd as well, when
// all who may write have mapped it:
//
//	err := s.Seal(shm.SealShrink | shm.SealGrow | shm.SealFutureWrite | shm.SealSeal)
//
// The two close different holes. Without the seals the receiver may reopen;
// the seals alone, with a descriptor that is open for writing, do all of this
// too, but only for memfds, and only from Linux 5.1 on. And whoever may trace
// this process (ptrace(2), /proc/PID/mem) writes through its mapping; only
// another user ID, or the kernel's yama module, keeps such a peer out.
//
// Readers attach with FromFile and the option ReadOnly. Loads of a seqlock
// work there; a lock cannot be taken.
//
// Errors: fs.ErrPermission if this process may not read the object;
// fs.ErrNotExist without /proc; fs.ErrInvalid for a Segment that has no
// descriptor; ErrClosed.
func (s *Segment) ReadOnlyFile() (*os.File, error) {
	f, err := s.descriptor(true)
	if err != nil {
		return nil, fmt.Errorf("shm: ReadOnlyFile %s: %w", s.label, err)
	}
	return f, nil
}

// descriptor returns a descriptor that stays open when s is closed.
func (s *Segment) descriptor(readOnly bool) (*os.File, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.hasDescriptor(); err != nil {
		return nil, err
	}
	if readOnly && isWritable(s.file) {
		return reopenReadOnly(s.file)
	}
	return dup(s.file)
}

func isWritable(f *os.File) bool {
	flags, err := again(func() (int, error) { return unix.FcntlInt(f.Fd(), unix.F_GETFL, 0) })
	return err != nil || flags&unix.O_ACCMODE != unix.O_RDONLY
}

// reopenReadOnly opens f's object again. There is no other way to give up a
// descriptor's permission to write.
func reopenReadOnly(f *os.File) (*os.File, error) {
	path := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	fd, err := again(func() (int, error) { return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		hint := "; its Mode does not let this user read it"
		if errors.Is(err, unix.ENOENT) {
			hint = "; a descriptor for reading only is made through /proc, which must be mounted"
		}
		return nil, fmt.Errorf("cannot open %s for reading: %w%s", path, err, hint)
	}
	ro := os.NewFile(uintptr(fd), f.Name())
	a, err1 := fstat(f)
	b, err2 := fstat(ro)
	if err := errors.Join(err1, err2); err != nil || a.Dev != b.Dev || a.Ino != b.Ino {
		ro.Close()
		return nil, fmt.Errorf("what is mounted on /proc is none: %w", errors.Join(fs.ErrNotExist, err))
	}
	return ro, nil
}

// isImmutable: it is sealed so that no descriptor gives anybody a way to change it.
func (s *Segment) isImmutable() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.hasDescriptor() == nil && sealsOf(s.file).missingOf(sealedFor) == 0
}

// harmless returns a descriptor of f's object by which a read-only mapping is
// not one that could become writable. The kernel counts those as writable, and
// refuses SealWrite as long as there is one (P-K20). Where that does not matter,
// or cannot be had, it is f itself.
func harmless(f *os.File) (*os.File, func()) {
	n, err := getSeals(f)
	if err == nil && Seals(n)&SealSeal == 0 && isWritable(f) {
		if ro, err := reopenReadOnly(f); err == nil {
			return ro, func() { ro.Close() }
		}
	}
	return f, func() {}
}

// Send passes s to the process at the other end of a unix socket, of any type:
// one message, of one byte and the descriptor (SCM_RIGHTS). Receive takes it,
// or recvmsg(2) in C. The byte means nothing. The deadline of c holds.
//
// A ReadOnly segment is sent as a descriptor that is open for reading only;
// with the option ReadOnly, so is a writable one: see ReadOnlyFile. (Without /proc
// that cannot be; what is immutable, as Sealed makes it, is sent all the same.)
//
// The receiver has the object itself, not a copy. Seal a memfd before it is
// sent, with SealShrink at least, or Receive refuses it. s may be closed as
// soon as Send returns, or by another goroutine meanwhile.
//
// Options: ReadOnly.
//
// Errors: those of the connection, os.ErrDeadlineExceeded, net.ErrClosed and
// EPIPE among them; ETOOMANYREFS for too many that nobody has received; those
// of ReadOnlyFile; ErrClosed. After an error nothing was sent. A process that
// dies in Send has sent it or not; what was sent and not yet received stays.
func Send(c *net.UnixConn, s *Segment, opts ...Option) error {
	conf, err := configure(opts, optReadOnly)
	if err != nil {
		return fmt.Errorf("shm: Send %s: %w", s.label, err)
	}
	// Our own descriptor, for s may be closed while we wait for room.
	f, err := s.descriptor(conf.readOnly || s.ro)
	if errors.Is(err, fs.ErrNotExist) && s.isImmutable() { // no /proc, and no need for it
		f, err = s.descriptor(false)
	}
	if err == nil {
		defer f.Close()
		_, _, err = c.WriteMsgUnix([]byte{0}, unix.UnixRights(int(f.Fd())), nil)
	}
	hint := ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ETOOMANYREFS):
		hint = "; too many descriptors were sent by this user and not yet received (ulimit -n)"
	}
	return fmt.Errorf("shm: Send %s: %w%s", s.label, err, hint)
}

// controlMax has room for all that a message can bring: 253 descriptors
// (SCM_MAX_FD), credentials, a security label.
const controlMax = 4096

// Receive takes one message from a unix socket, with one descriptor in it, and
// maps the object behind that: what Send, or sendmsg(2) with SCM_RIGHTS in C,
// has sent. Of a stream it reads one byte, so several messages may be waiting.
// It waits until the deadline of c.
//
// The object must be a memfd with SealShrink, of huge pages with SealFutureWrite or
// SealWrite too: whoever has it otherwise could take pages away at any time, and a
// touch of what is gone is a panic (P-K6, Segment.Truncated). AllowUnsealed takes it all the same, and files and
// objects with a name too; RequireSeals asks for more. To rely on the bytes, ask
// for SealWrite: without it they can change while you look at them.
//
// A message that is not as it should be is taken from the socket, and every
// descriptor that came with it is closed.
//
// Options: ReadOnly, without which the descriptor must be open for writing;
// RequireSeals or AllowUnsealed; Mlock, Populate.
//
// Errors: io.EOF when the peer has closed the connection, or died; those of
// the connection, os.ErrDeadlineExceeded and net.ErrClosed among them;
// ErrUnsealed; fs.ErrInvalid for a message with no descriptor or several, or
// with more than one byte in a packet, and for what is no memory; EMFILE if
// this process has no descriptor left for it; those of FromFile.
func Receive(c *net.UnixConn, opts ...Option) (*Segment, error) {
	conf, err := configure(opts, optReadOnly|optRequireSeals|optAllowUnsealed|optMemory)
	switch {
	case err != nil:
	case conf.anySeals && conf.sealsGiven:
		err = fmt.Errorf("AllowUnsealed and RequireSeals contradict each other: %w", fs.ErrInvalid)
	case !conf.anySeals:
		conf.seals |= SealShrink
	}
	var f *os.File
	if err == nil {
		f, err = receiveFile(c)
	}
	var s *Segment
	if err == nil {
		s, err = attach(f, &conf)
	}
	if err != nil {
		if errors.Is(err, ErrUnsealed) && !conf.sealsGiven {
			err = fmt.Errorf("%w (AllowUnsealed takes it from a trusted peer)", err)
		}
		return nil, fmt.Errorf("shm.Receive: %w", err)
	}
	return s, nil
}

// receiveFile takes one message and returns the one descriptor in it.
func receiveFile(c *net.UnixConn) (*os.File, error) {
	var b [1]byte
	control := make([]byte, controlMax)
	// net asks for MSG_CMSG_CLOEXEC: what arrives is not inherited by a
	// program that another goroutine starts at that moment.
	_, n, flags, _, err := c.ReadMsgUnix(b[:], control)
	fds, others := descriptors(control[:n])
	closeAll(others)
	if errors.Is(err, io.EOF) && n > 0 {
		err = nil // a packet of no bytes, which net takes for the end
	}
	if err == nil {
		err = checkMessage(fds, flags)
	}
	if err != nil {
		closeAll(fds)
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "received"), nil
}

func checkMessage(fds []int, flags int) error {
	switch {
	case flags&unix.MSG_CTRUNC != 0:
		return truncated()
	case len(fds) != 1:
		return fmt.Errorf("the message has %d descriptors, want 1: %w", len(fds), fs.ErrInvalid)
	case flags&unix.MSG_TRUNC != 0:
		return fmt.Errorf("the message has more than 1 byte: %w; read it with ReadMsgUnix, and map its descriptor with FromFile", fs.ErrInvalid)
	}
	return nil
}

// truncated says why descriptors are missing: the kernel does not. It is called
// while those that did arrive are still open.
func truncated() error {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	if errors.Is(err, unix.EMFILE) {
		return fmt.Errorf("descriptors were lost on the way: %w; see ulimit -n", err)
	}
	return fmt.Errorf("descriptors were lost on the way: %w; a security module (SELinux, AppArmor) may have refused them", fs.ErrInvalid)
}

// descriptors returns what a control message brought that must be closed: the
// descriptors sent, and others that the kernel made.
func descriptors(control []byte) (sent, others []int) {
	for len(control) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			return sent, others // the kernel's own; nothing follows
		}
		control = rest
		if h.Level != unix.SOL_SOCKET {
			continue
		}
		switch h.Type {
		case unix.SCM_RIGHTS:
			sent = append(sent, numbers(data)...)
		case unix.SCM_PIDFD: // the caller has set SO_PASSPIDFD
			others = append(others, numbers(data)...)
		}
	}
	return sent, others
}

func numbers(data []byte) (fds []int) {
	for ; len(data) >= 4; data = data[4:] {
		fds = append(fds, int(int32(binary.NativeEndian.Uint32(data))))
	}
	return fds
}

func closeAll(fds []int) {
	for _, fd := range fds {
		if fd >= 0 { // a pidfd may be an error number
			unix.Close(fd)
		}
	}
}
