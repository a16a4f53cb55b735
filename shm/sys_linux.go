package shm

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// This file makes the system calls on files; map_unsafe.go those on mappings.
// A call that a signal interrupted is made again: Go's scheduler sends itself
// SIGURG at any time.

func again[R any](f func() (R, error)) (R, error) {
	for {
		r, err := f()
		if err != unix.EINTR {
			return r, err
		}
	}
}

func again0(f func() error) error {
	_, err := again(func() (struct{}, error) { return struct{}{}, f() })
	return err
}

// openFd opens path, never through a symbolic link at its end, never passing
// the descriptor on to a program that some other goroutine starts.
func openFd(path string, flags int, perm uint32) (*os.File, error) {
	fd, err := again(func() (int, error) {
		return unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, perm)
	})
	if err == nil && flags&unix.O_NONBLOCK != 0 {
		// It was for the open alone: peers would inherit the flag, and package os
		// would set up its poller for it.
		if err = unix.SetNonblock(fd, false); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func fstat(f *os.File) (st unix.Stat_t, err error) {
	err = again0(func() error { return unix.Fstat(int(f.Fd()), &st) })
	return st, err
}

func lstat(path string) (st unix.Stat_t, err error) {
	err = again0(func() error { return unix.Lstat(path, &st) })
	return st, err
}

// isAt reports whether path still names the object behind f.
func isAt(path string, f *os.File) bool {
	same, err := sameObject(path, f)
	return same && err == nil
}

func sameObject(path string, f *os.File) (bool, error) {
	a, err1 := fstat(f)
	b, err2 := lstat(path)
	return a.Dev == b.Dev && a.Ino == b.Ino, errors.Join(err1, err2)
}

func exists(path string) bool {
	_, err := lstat(path)
	return !errors.Is(err, unix.ENOENT)
}

func unlink(path string) error {
	return again0(func() error { return unix.Unlink(path) })
}

// tryFlock takes f's lock if nobody has it. The kernel drops it when the last
// descriptor of this open file is gone, so a dead process holds none.
func tryFlock(f *os.File) (bool, error) {
	err := again0(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK {
		return false, nil
	}
	return err == nil, err
}

// fileType names what is not a regular file, or says "".
func fileType(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return ""
	case unix.S_IFLNK:
		return "a symbolic link"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a FIFO"
	case unix.S_IFSOCK:
		return "a socket"
	}
	return "a device"
}
