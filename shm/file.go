package shm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenFile maps a regular file, whole. Size 0 means the size it has;
// otherwise the file must have exactly this size. What processes write in the
// memory is in the file for every reader at once, and on the disk after Sync.
//
// With CreateFile a missing file is made: of this size, zero, with its blocks
// reserved, appearing in one step under its name. Of several processes that
// do so at once, one makes it and all map the same. With the default Mode the
// file is meant to be private: in a directory that others may write, such as
// /tmp, another user's file under the name is refused (root's and the
// directory's owner's excepted); pass Mode, as its maker did, to share between
// users.
//
// The last element of path must not be a symbolic link, and the file must
// have one name only, as for Open.
//
// On overlayfs, as in most containers, the first to open a file of a lower
// layer for writing gets a copy of it: who had mapped it ReadOnly before keeps
// the old one, and sees nothing of the new. Map files of a volume, or make them.
//
// A file survives a restart of the machine, and so do lock words in it that
// name long dead owners: lay primitives into a file only if you make a fresh
// one for each boot.
//
// Options: ReadOnly, CreateFile (not both), Mode (with CreateFile), Mlock,
// Populate.
//
// Errors: ErrNotExist; ErrTruncated if the file is shorter than size;
// ErrLayout if it is longer; ErrNotReady if it stays empty; fs.ErrPermission;
// fs.ErrInvalid for a bad path and what is no regular file; ENODEV for a file system that
// cannot map files shared. A process killed while it makes the file leaves
// the complete file or nothing (on a file system without O_TMPFILE, perhaps a
// file named .interlock-tmp-PID-…, to be deleted).
func OpenFile(path string, size int64, opts ...Option) (*Segment, error) {
	o := object{op: "shm.OpenFile", name: path}
	c, err := configure(opts, optReadOnly|optCreateFile|optMode|optMemory)
	if err != nil {
		return nil, o.fail(err)
	}
	switch {
	case size < 0 || c.create && size == 0:
		err = fmt.Errorf("size %d: want at least 1: %w", size, fs.ErrInvalid)
	case c.create && c.readOnly:
		err = fmt.Errorf("CreateFile and ReadOnly together make a file that nobody fills: %w", fs.ErrInvalid)
	case c.modeGiven && !c.create:
		err = fmt.Errorf("option Mode means nothing without CreateFile: %w", fs.ErrInvalid)
	default:
		o.path, o.dir, err = filePath(path)
	}
	if err != nil {
		return nil, o.fail(err)
	}
	s, err := openOrMakeFile(&o, size, &c)
	if err != nil {
		return nil, o.fail(err)
	}
	s.dir = o.dir
	return s, nil
}

// filePath returns path with the working directory in front, so that messages
// stay true, and file and directory stay found, after a chdir; and the directory,
// with its slash, which says to follow a symbolic link. Neither is cleaned: a ".."
// behind a symbolic link is not where the text says.
func filePath(path string) (full, dir string, err error) {
	if path == "" || strings.HasSuffix(path, "/") || strings.IndexByte(path, 0) >= 0 {
		return "", "", fmt.Errorf("want a file's path, without NUL and no slash at its end: %w", fs.ErrInvalid)
	}
	if path[0] != '/' {
		wd, err := os.Getwd()
		if err != nil {
			return "", "", err
		}
		path = strings.TrimSuffix(wd, "/") + "/" + path
	}
	return path, path[:strings.LastIndexByte(path, '/')+1], nil
}

// maxTries bounds a race that can only go on if others work at it.
const maxTries = 1000

func openOrMakeFile(o *object, size int64, c *config) (*Segment, error) {
	admit := func(st *unix.Stat_t) error {
		if err := c.admitFile(o.dir, st); err != nil {
			return err
		}
		return sameSize(o.path, st.Size, size)
	}
	for range maxTries {
		s, err := openObject(context.Background(), o, c, admit)
		if !c.create || !errors.Is(err, ErrNotExist) {
			return s, err
		}
		if s, err = build(o, size, c, nil); !errors.Is(err, ErrExist) {
			return s, err
		}
		// Somebody was faster, and then removed the file, or we would find it
		// now.
	}
	return nil, fmt.Errorf("%w: others made and removed %s %d times meanwhile", ErrNotReady, o.path, maxTries)
}

// admitFile refuses, to a caller who would have made the file, another user's
// in a directory where anybody may make one: it may be planted, waiting for our
// data. The directory's owner can do as he likes anyway.
func (c *config) admitFile(dir string, st *unix.Stat_t) error {
	if !c.create {
		return nil
	}
	var d unix.Stat_t
	if err := again0(func() error { return unix.Stat(dir, &d) }); err == nil && (d.Mode&0o022 == 0 || d.Uid == st.Uid) {
		return nil
	}
	return c.admit(st)
}

func sameSize(path string, have, want int64) error {
	switch {
	case want == 0 || have == want:
		return nil
	case have < want:
		return fmt.Errorf("%w: %s has %d bytes, want %d", ErrTruncated, path, have, want)
	}
	return fmt.Errorf("%w: %s has %d bytes, want %d (size 0 takes it as it is)", ErrLayout, path, have, want)
}

// FromFile maps the object behind a descriptor that was inherited (the third
// entry of exec.Cmd.ExtraFiles is descriptor 5 in the child:
// os.NewFile(5, "queue")) or received: a memfd, a segment of another process,
// a regular file. All of it is mapped.
//
// f stays the caller's: FromFile duplicates the descriptor, and f may be
// closed at once.
//
// Whoever else has the object may make it shorter, and a touch beyond the new
// end is a panic (P-K6, Segment.Truncated): of a peer that is not trusted take a memfd only, with
// RequireSeals(SealShrink).
//
// Options: ReadOnly, without which the descriptor must be open for writing;
// RequireSeals, Mlock, Populate.
//
// Errors: ErrNotReady if the object has size 0; ErrUnsealed; fs.ErrInvalid for
// what cannot be memory: a pipe, a socket, a directory, what is open with O_PATH, a
// nil file; fs.ErrClosed.
func FromFile(f *os.File, opts ...Option) (*Segment, error) {
	o := object{op: "shm.FromFile"}
	c, err := configure(opts, optReadOnly|optRequireSeals|optMemory)
	if err != nil {
		return nil, o.fail(err)
	}
	if f == nil {
		return nil, o.fail(fmt.Errorf("the file is nil: %w", fs.ErrInvalid))
	}
	o.name = f.Name()
	own, err := dup(f)
	if err != nil {
		return nil, o.fail(err)
	}
	s, err := attach(own, &c)
	return s, o.fail(err)
}

// attach maps the object behind a descriptor that others have too. It owns f,
// and closes it on an error.
func attach(f *os.File, c *config) (*Segment, error) {
	st, err := fstat(f)
	if err == nil {
		if what := fileType(st.Mode); what != "" {
			err = fmt.Errorf("the descriptor is %s, not a memfd or regular file: %w", what, fs.ErrInvalid)
		} else if flags, flagsErr := again(func() (int, error) { return unix.FcntlInt(f.Fd(), unix.F_GETFL, 0) }); flagsErr == nil && flags&unix.O_PATH != 0 {
			err = fmt.Errorf("the descriptor was opened with O_PATH, and can neither be read nor mapped; open it for reading or writing: %w", fs.ErrInvalid)
		}
	}
	step("look at its size")
	if err == nil && c.seals != 0 {
		if err = requireSeals(f, &st, c.seals); err == nil {
			st, err = fstat(f) // the size from before the seals were known proves nothing
		}
	}
	if err == nil && st.Size == 0 {
		err = fmt.Errorf("%w: the object has size 0; its maker must size it before it passes it on", ErrNotReady)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return newSegment(f, fmt.Sprintf("%q", f.Name()), st.Size, st.Nlink > 0, c)
}

// dup goes through SyscallConn, which holds f open meanwhile and, other than
// Fd, leaves a socket's mode alone.
func dup(f *os.File) (*os.File, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd, dupErr := -1, error(nil)
	err = conn.Control(func(old uintptr) {
		fd, dupErr = again(func() (int, error) { return unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) })
	})
	if err != nil { // Control did not call us
		return nil, fmt.Errorf("%w: %w", fs.ErrClosed, err)
	}
	if dupErr != nil {
		return nil, dupErr
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
