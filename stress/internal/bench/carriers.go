package bench

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/bench/work"
	"interlock/stress/internal/procfs"
)

// A carrier is a way of the kernel to pass a message of eight bytes. setUp makes it
// for two sides: arguments for both, and files for each.
type carrier struct {
	name   string
	copies int // how often the bytes are copied
	calls  int // system calls for a message, on both sides together
	setUp  func(r *Rig, kind string) (args []string, files [2][]*os.File, err error)
	open   func(side int, args []string) (work.Link, error)
}

// carriers are what the tutorials compare shared memory with.
func carriers() map[string]carrier {
	return map[string]carrier{
		"pipe":    {"pipe", 2, 2, pipes, descriptors},
		"unix":    {"Unix socket", 2, 2, socketPair, descriptors},
		"fifo":    {"FIFO", 2, 2, fifos, descriptors},
		"tcp":     {"TCP, loopback", 2, 2, loopback, descriptors},
		"eventfd": {"eventfd", 2, 2, eventfds, descriptors},
		"mq":      {"POSIX message queue", 2, 2, posixQueues, openPosixQueue},
		"msg":     {"System V message queue", 2, 2, sysvQueue, openSysvQueue},
		"semop":   {"System V semop", 0, 2, sysvSemaphores, openSysvSemaphores},
		"flock":   {"flock", 0, 2, lockFiles, openLockFiles},
	}
}

// carrierOrder is the order of the table.
var carrierOrder = []string{"pipe", "unix", "fifo", "mq", "msg", "eventfd", "tcp", "flock", "semop"}

func newCarrier(kind string, side int, args []string) (work.Link, error) {
	c, ok := carriers()[kind]
	if !ok {
		return nil, fmt.Errorf("no link %s", kind)
	}
	return c.open(side, args)
}

// carried is two processes that take turns by way of the kernel.
func (r *Rig) carried(kind string) ([]*proc, error) {
	args, files, err := carriers()[kind].setUp(r, kind)
	if err != nil {
		return nil, err
	}
	return r.pair(kind, 0, args, files[0], files[1])
}

// keepOpen closes files when the comparison is over.
func (r *Rig) keepOpen(files ...*os.File) {
	r.later(func() {
		for _, f := range files {
			f.Close()
		}
	})
}

// descriptors is a link by way of one or two inherited descriptors: what comes and
// what goes.
func descriptors(_ int, args []string) (work.Link, error) {
	l := &fdLink{in: firstFile + 1, out: firstFile + 1}
	if len(args) > 0 && args[0] == "two" {
		l.out++
	}
	for _, fd := range []int{l.in, l.out} {
		if err := unix.SetNonblock(fd, false); err != nil {
			return nil, fmt.Errorf("descriptor %d: %w", fd, err)
		}
	}
	return l, nil
}

type fdLink struct {
	in, out int
	buf     [8]byte
}

func (l *fdLink) Send(n uint64) error {
	binary.NativeEndian.PutUint64(l.buf[:], n)
	return all(unix.Write, l.out, l.buf[:])
}

func (l *fdLink) Recv() (uint64, error) {
	err := all(unix.Read, l.in, l.buf[:])
	return binary.NativeEndian.Uint64(l.buf[:]), err
}

// all reads or writes all of buf.
func all(call func(fd int, buf []byte) (int, error), fd int, buf []byte) error {
	for len(buf) > 0 {
		n, err := call(fd, buf)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("descriptor %d: the other side is gone", fd)
		default:
			buf = buf[n:]
		}
	}
	return nil
}

func pipes(r *Rig, _ string) (args []string, files [2][]*os.File, err error) {
	there, away, err := os.Pipe()
	if err != nil {
		return nil, files, err
	}
	r.keepOpen(there, away)
	back, home, err := os.Pipe()
	if err != nil {
		return nil, files, err
	}
	r.keepOpen(back, home)
	return []string{"two"}, [2][]*os.File{{back, away}, {there, home}}, nil
}

func fifos(r *Rig, _ string) (args []string, files [2][]*os.File, err error) {
	var ends [2]*os.File
	for i := range ends {
		path := filepath.Join(r.dir, "fifo"+strconv.Itoa(i))
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return nil, files, fmt.Errorf("mkfifo: %w", err)
		}
		r.later(func() { os.Remove(path) })
		if ends[i], err = os.OpenFile(path, os.O_RDWR, 0); err != nil { // opening one side alone would block
			return nil, files, err
		}
		r.keepOpen(ends[i])
	}
	return []string{"two"}, [2][]*os.File{{ends[0], ends[1]}, {ends[1], ends[0]}}, nil
}

func socketPair(r *Rig, _ string) (args []string, files [2][]*os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, files, fmt.Errorf("socketpair: %w", err)
	}
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		r.keepOpen(f)
		files[i] = []*os.File{f}
	}
	return nil, files, nil
}

func eventfds(r *Rig, _ string) (args []string, files [2][]*os.File, err error) {
	var ends [2]*os.File
	for i := range ends {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			return nil, files, fmt.Errorf("eventfd: %w", err)
		}
		ends[i] = os.NewFile(uintptr(fd), "eventfd")
		r.keepOpen(ends[i])
	}
	return []string{"two"}, [2][]*os.File{{ends[0], ends[1]}, {ends[1], ends[0]}}, nil
}

func loopback(r *Rig, _ string) (args []string, files [2][]*os.File, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, files, skip{err.Error()}
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return nil, files, skip{err.Error()}
	}
	defer client.Close()
	server, err := listener.Accept()
	if err != nil {
		return nil, files, err
	}
	defer server.Close()
	for i, c := range []net.Conn{client, server} { // Go sets TCP_NODELAY
		f, err := c.(*net.TCPConn).File()
		if err != nil {
			return nil, files, err
		}
		r.keepOpen(f)
		files[i] = []*os.File{f}
	}
	return nil, files, nil
}

// lockFiles is three files for a baton.
func lockFiles(r *Rig, _ string) (args []string, files [2][]*os.File, err error) {
	for i := range 3 {
		path := filepath.Join(r.dir, "flock"+strconv.Itoa(i))
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return nil, files, err
		}
		r.later(func() { os.Remove(path) })
		args = append(args, path)
	}
	return args, files, nil
}

func openLockFiles(side int, args []string) (work.Link, error) {
	var locks [3]work.Lock
	for i, path := range args {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		locks[i] = fileLock(fd)
	}
	return work.NewBaton(side, locks)
}

type fileLock int

func (l fileLock) Lock() error   { return l.call(unix.LOCK_EX) }
func (l fileLock) Unlock() error { return l.call(unix.LOCK_UN) }

func (l fileLock) call(how int) error {
	for {
		if err := unix.Flock(int(l), how); err != unix.EINTR {
			return err
		}
	}
}

func runTransports(r *Rig) error {
	two, err := r.pair("sem", 0, nil)
	if err != nil {
		return err
	}
	ours := middle("ping", spread(two)...)
	for _, kind := range carrierOrder {
		c := carriers()[kind]
		row := &Row{Name: "semaphore, 8 bytes", Unit: Nanoseconds, Against: c.name, Reach: faster(0)}
		peers, err := r.carried(kind)
		if err != nil {
			if err := r.without(err, row); err != nil {
				return err
			}
			continue
		}
		sleeps := &sleepCounter{procs: spread(peers)}
		if row.Ours, row.Peer, err = r.duel(ours, sleeps.middle); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		row.note("theirs: %d copies, %d kernel calls a message, asleep %.2f times", c.copies, c.calls, sleeps.perMessage())
		if err := r.add(row); err != nil {
			return err
		}
	}
	return nil
}

// spread puts two processes on two CPUs, where there are two.
func spread(two []*proc) []*proc {
	if len(cpus()) >= 2 {
		return apart(two)
	}
	return two
}

// sleepCounter is middle, and counts how often the processes went to sleep.
type sleepCounter struct {
	procs    []*proc
	sleeps   int
	messages uint64
}

func (s *sleepCounter) middle(d time.Duration) (float64, error) {
	before := s.switches()
	found, err := slice(s.procs, d, "ping")
	if err != nil {
		return 0, err
	}
	last := found[len(found)-1]
	s.sleeps += s.switches() - before
	s.messages += 2 * last.Ops
	return last.Middle, nil
}

func (s *sleepCounter) switches() (n int) {
	for _, p := range s.procs {
		n += procfs.Switches(p.pid())
	}
	return n
}

// perMessage includes the few times that a side waits for its next order.
func (s *sleepCounter) perMessage() float64 { return float64(s.sleeps) / float64(s.messages) }
