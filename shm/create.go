package shm

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Create makes a new object of this size, all zero, and maps it. The name
// must be free. The object appears in one step, complete: no other process
// sees it without its size, its memory or its permissions.
//
// It is what shm_open(name, O_CREAT|O_EXCL), ftruncate and mmap do in C, but
// with the memory reserved: if there is no room, Create says so and leaves
// nothing behind.
//
// Options: Mode, Mlock, Populate.
//
// Errors: ErrExist; fs.ErrPermission; fs.ErrInvalid for a bad name or size;
// ENOSPC, EFBIG and the like from the kernel, with the size; ENOMEM, too, for
// what the memory limit of this process's cgroup, a container's, does not leave.
// A process killed in Create leaves either the complete object or nothing.
func Create(name string, size int64, opts ...Option) (*Segment, error) {
	o, err := lookup("shm.Create", name)
	if err != nil {
		return nil, err
	}
	c, err := configure(opts, optMode|optMemory)
	if err != nil {
		return nil, o.fail(err)
	}
	// Only to spare the work: publish decides. A directory that may not be
	// searched says nothing of the name.
	if _, err := lstat(o.path); err == nil {
		return nil, o.fail(taken(&o))
	}
	s, err := build(&o, size, &c, nil)
	if errors.Is(err, ErrExist) {
		err = taken(&o)
	}
	return s, o.fail(err)
}

func taken(o *object) error {
	return fmt.Errorf("%s: %w; Open it, use OpenOrCreate, or Remove it if it is a leftover", o.path, ErrExist)
}

// build makes, sizes, maps, initialises and publishes an object. Whatever
// goes wrong, init's panic included, nothing is left behind.
func build(o *object, size int64, c *config, init func(*Segment) error) (seg *Segment, err error) {
	if size <= 0 {
		return nil, fmt.Errorf("size %d: want at least 1: %w", size, fs.ErrInvalid)
	}
	n, err := newInode(o.dir, c.perm)
	if err != nil {
		return nil, err
	}
	if err := reserve(n.f, size, o.dir); err != nil {
		n.abandon()
		return nil, err
	}
	step("reserve the memory")
	s, err := newSegment(n.f, fmt.Sprintf("%q", o.name), size, true, c)
	if err != nil {
		n.unname()
		return nil, err
	}
	step("map it")
	defer func() {
		s.setInits(false)
		if seg == nil { // failed, panicked or left by runtime.Goexit
			n.unname()
			err = errors.Join(err, s.Close())
		}
	}()
	if init != nil {
		s.setInits(true)
		if err := init(s); err != nil {
			return nil, fmt.Errorf("init: %w", err)
		}
		step("run init")
	}
	if err := n.publish(o.path); err != nil {
		return nil, err
	}
	step("publish")
	return s, nil
}

// Memfd makes an anonymous object: memory with a descriptor and no name in
// any directory. It reaches other processes by its descriptor only (File in
// exec.Cmd.ExtraFiles, Send), and is gone with its last descriptor and
// mapping. name is a label for /proc/PID/maps; many may have the same.
//
// It is also what takes the place of anonymous shared memory, which in C is
// mapped before a fork: a Go program cannot fork, and hands its child the
// descriptor.
//
// Anybody who has it may make it shorter, and Receive refuses it, until it is
// sealed: Seal(SealShrink | SealGrow), and of huge pages SealFutureWrite too.
//
// Options: Mode (who may reopen it through /proc/PID/fd), without x bits;
// HugePages, which rounds size up to whole pages (Size tells); Mlock, Populate.
//
// Errors: fs.ErrInvalid for a bad label, size or Mode; ENOSPC, ENOMEM with the
// size. A process that dies leaves nothing that nobody else has open.
func Memfd(name string, size int64, opts ...Option) (*Segment, error) {
	o := object{op: "shm.Memfd", name: name}
	c, err := configure(opts, optMode|optHugePages|optMemory)
	if err != nil {
		return nil, o.fail(err)
	}
	f, size, err := newMemfd(name, size, &c)
	if err != nil {
		return nil, o.fail(err)
	}
	s, err := newSegment(f, memfdLabel(name), size, false, &c)
	return s, o.fail(err)
}

func memfdLabel(name string) string { return fmt.Sprintf("memfd %q", name) }

// newMemfd makes a memfd of this size, or of whole huge pages, all reserved.
func newMemfd(name string, size int64, c *config) (*os.File, int64, error) {
	const labelMax = nameMax - len("memfd:") // the kernel's limit
	switch {
	case len(name) > labelMax || strings.IndexByte(name, 0) >= 0:
		return nil, 0, fmt.Errorf("want a label of at most %d bytes without NUL: %w", labelMax, fs.ErrInvalid)
	case size <= 0:
		return nil, 0, fmt.Errorf("size %d: want at least 1: %w", size, fs.ErrInvalid)
	case c.perm&0o111 != 0: // the kernel's answer is a bare EPERM
		return nil, 0, fmt.Errorf("Mode(%#o) has x bits, and a memfd is sealed against being executed (SealExec): %w", c.perm, fs.ErrInvalid)
	}
	flags := 0
	if c.huge {
		flags = unix.MFD_HUGETLB
	}
	f, err := memfd(name, flags)
	if err != nil {
		return nil, 0, explainMemfd(c, err)
	}
	err = again0(func() error { return unix.Fchmod(int(f.Fd()), uint32(c.perm)) })
	if err == nil && c.huge {
		size, err = reserveHuge(f, size)
	} else if err == nil {
		err = reserve(f, size, "")
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

// memfd asks for a file that can be sealed and never executed; kernels before
// 6.3 do not know that flag (P-K11). Those that do log a warning about whoever
// leaves it out, and with vm.memfd_noexec=2 refuse him.
func memfd(name string, flags int) (*os.File, error) {
	flags |= unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "memfd:"+name), nil
}

func randomHex() string {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
