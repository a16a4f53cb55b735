//go:build amd64 || arm64

package shm

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// This file has the calls of leak_test.go on System V segments, seals and
// sockets, and what they need.

var (
	oldKey, newestKey Key // of a segment that is there, and of none
	oldSegment        int // the identifier of the first

	live    *Segment // a memfd of inherited's, sealed against shrinking
	sockets [2]*net.UnixConn
)

func init() {
	sysv := func(what string, do func() (*Segment, error)) {
		leaking = append(leaking, leak{what, func(string) (*Segment, error) { return do() }})
	}
	sysv("SysVCreate", func() (*Segment, error) { return SysVCreate(newestKey, 8192) })
	sysv("SysVCreate, read-only to its owner", func() (*Segment, error) { return SysVCreate(newestKey, 8192, Mode(0o400)) })
	sysv("SysVCreate, populated and locked", func() (*Segment, error) { return SysVCreate(Private, 8192, Populate, Mlock) })
	sysv("SysVCreate, taken", func() (*Segment, error) { return SysVCreate(oldKey, 8192) })
	sysv("SysVCreate, address in use", func() (*Segment, error) {
		lo, _ := span(live.Bytes())
		return SysVCreate(newestKey, 8192, AtAddress(lo))
	})
	sysv("SysVOpen", func() (*Segment, error) { return SysVOpen(oldKey) })
	sysv("SysVOpenID", func() (*Segment, error) { return SysVOpenID(oldSegment, ReadOnly, Populate, Mlock) })
	sysv("SysVRemove", func() (*Segment, error) {
		s, err := SysVCreate(Private, 8192)
		if err != nil {
			return nil, err
		}
		id, _ := s.SysVID()
		return s, errors.Join(s.Removed(), SysVRemove(id))
	})
	sysv("SysVID, SysVStat, SysVSet, SysVLock", func() (*Segment, error) {
		_, e1 := SysVID(oldKey)
		_, e2 := SysVStat(oldSegment)
		return nil, errors.Join(e1, e2, SysVSet(oldSegment, 0o600), SysVLock(oldSegment, true), SysVLock(oldSegment, false))
	})
}

func init() {
	other := func(what string, do func() (*Segment, error)) {
		leaking = append(leaking, leak{what, func(string) (*Segment, error) { return do() }})
	}
	other("Sealed", func() (*Segment, error) { return Sealed("new", make([]byte, 8192), Populate, Mlock) })
	other("Seal, Seals", func() (*Segment, error) {
		s, err := Memfd("new", 8192)
		if err != nil {
			return nil, err
		}
		return s, errors.Join(s.Seal(SealShrink|SealGrow), errOf(s.Seals()), s.Sync())
	})
	other("FromFile, sealed", func() (*Segment, error) { return FromFile(live.File(), RequireSeals(SealShrink)) })
	other("FromFile, not sealed", func() (*Segment, error) { return FromFile(inherited, RequireSeals(SealShrink)) })
	other("FromFile, read-only", func() (*Segment, error) { return FromFile(inherited, ReadOnly, Populate) })
	other("ReadOnlyFile", func() (*Segment, error) {
		f, err := live.ReadOnlyFile()
		if err != nil {
			return nil, err
		}
		s, err := FromFile(f, ReadOnly)
		return s, errors.Join(err, f.Close())
	})
	send := func(what *Segment, sending, receiving []Option) (*Segment, error) {
		if err := Send(sockets[0], what, sending...); err != nil {
			return nil, err
		}
		return Receive(sockets[1], receiving...)
	}
	leaking = append(leaking, leak{"OpenFile, Sync", func(dir string) (*Segment, error) {
		s, err := OpenFile(filepath.Join(dir, "old"), 8192)
		if err != nil {
			return nil, err
		}
		return s, s.Sync()
	}})
	other("Send, Receive", func() (*Segment, error) { return send(live, nil, nil) })
	other("Send, Receive, read-only", func() (*Segment, error) {
		return send(live, []Option{ReadOnly}, []Option{ReadOnly, RequireSeals(SealShrink), Mlock})
	})
	other("Receive, not sealed", func() (*Segment, error) {
		m, err := Memfd("new", 64)
		if err != nil {
			return nil, err
		}
		s, err := send(m, nil, nil)
		return s, errors.Join(err, m.Close())
	})
}

// setUpMore is the child's; arg: two keys.
func setUpMore(arg []string) error {
	for i, key := range []*Key{&oldKey, &newestKey} {
		n, err := strconv.ParseUint(arg[i], 0, 32)
		if err != nil {
			return err
		}
		*key = Key(n)
	}
	s, err := SysVCreate(oldKey, 8192)
	if err != nil {
		return err
	}
	oldSegment, _ = s.SysVID()
	if err := s.Close(); err != nil {
		return err
	}
	if live, err = Memfd("live", 8192); err == nil {
		err = live.Seal(SealShrink)
	}
	if err != nil {
		return err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	for i, fd := range fds {
		if sockets[i], err = inheritedConn(uintptr(fd)); err != nil {
			return err
		}
	}
	return nil
}

// drain takes from c what was sent and, because something failed, not received.
func drain(c *net.UnixConn) {
	control(c, func(fd int) {
		for {
			b := make([]byte, controlMax)
			_, n, _, _, err := unix.Recvmsg(fd, make([]byte, 1), b, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
			if err != nil {
				return
			}
			fds, others := descriptors(b[:n])
			closeAll(append(fds, others...))
		}
	})
}

// ownSegments are the System V segments that this process has made.
func ownSegments() (own []SysVInfo) {
	all, _ := listSysV()
	for _, info := range all {
		if info.CreatorPID == os.Getpid() {
			own = append(own, info)
		}
	}
	return own
}

// removeNewSegments removes all but the old one, and describes one that should not
// have been there: none was to be made, or its IPC_RMID was made.
func removeNewSegments(c *leakControl, made bool) (wrong string) {
	_, _, _, leftSegment := c.failed()
	for _, info := range ownSegments() {
		if info.ID == oldSegment || info.Removed { // by a mapping that is counted
			continue
		}
		if !made && !leftSegment {
			wrong = describeSysV(info.ID)
		}
		rmid(info.ID)
	}
	return wrong
}
