package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// An inode is a file under construction: nobody else can reach it until
// publish gives it a name, and if its maker dies before that, the kernel
// drops it with its last descriptor. O_TMPFILE is exactly this.
//
// Where a file system cannot (overlayfs before Linux 6.1, some FUSE), it gets
// a random reserved name, made with O_EXCL, and rename gives it the final one
// without replacing. There, and only there, a killed maker leaves that file
// behind.
type inode struct {
	f    *os.File
	temp string // the random name; "" if it has none
}

// newInode makes an empty file in dir with exactly these permissions: fchmod
// is not subject to the umask, and nobody has seen the file yet.
func newInode(dir string, perm os.FileMode) (*inode, error) {
	n := &inode{}
	err := error(unix.EOPNOTSUPP)
	if !noTmpfile {
		n.f, err = openFd(dir, unix.O_TMPFILE|unix.O_RDWR, 0o600)
	}
	step("make an unnamed file")
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL):
		n.temp = dir + "/" + reserved + "tmp-" + strconv.Itoa(os.Getpid()) + "-" + randomHex()
		n.f, err = openFd(n.temp, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o600)
		step("make a temporary file")
	}
	if err == nil {
		if err = again0(func() error { return unix.Fchmod(int(n.f.Fd()), uint32(perm)) }); err != nil {
			n.abandon()
		}
		step("set its mode")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a file in %s: %w", dir, err)
	}
	return n, nil
}

// noTmpfile lets a test take the second way.
var noTmpfile = false

// abandon drops a file that was not published, and closes it.
func (n *inode) abandon() {
	n.unname()
	n.f.Close()
}

// unname removes the random name, if there is one.
func (n *inode) unname() {
	if n.temp != "" {
		unlink(n.temp) // best effort: the name means nothing to anybody
		n.temp = ""
	}
}

// publish gives the file its name, in one step and never in place of another
// file: then it is EEXIST.
func (n *inode) publish(path string) error {
	if n.temp != "" {
		return n.rename(path)
	}
	// By /proc, because AT_EMPTY_PATH wants a capability before Linux 6.10;
	// by AT_EMPTY_PATH where /proc is missing.
	fd := int(n.f.Fd())
	err := again0(func() error {
		return unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
	})
	if errors.Is(err, unix.ENOENT) {
		err = again0(func() error { return unix.Linkat(fd, "", unix.AT_FDCWD, path, unix.AT_EMPTY_PATH) })
	}
	return publishError(path, err)
}

func (n *inode) rename(path string) error {
	err := again0(func() error {
		return unix.Renameat2(unix.AT_FDCWD, n.temp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	})
	if err == nil {
		n.temp = ""
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("the file system of %s cannot publish a file atomically: %w; make the file first (fallocate -l SIZE) and open it without CreateFile", path, err)
	}
	return publishError(path, err)
}

func publishError(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s: %w", path, ErrExist)
	}
	return fmt.Errorf("cannot publish %s: %w", path, err)
}

// step is called after each step that a peer or a crash can see. Tests kill
// the process in it.
var step = func(what string) {}
