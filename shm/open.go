package shm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// settleTime is how long an object may look half made before that is an error.
// A C program sizes its object a few microseconds after shm_open.
const (
	settleTime = 100 * time.Millisecond
	settlePoll = time.Millisecond
)

// Open maps the object that has this name, all of it, as its maker sized it.
// It is shm_open(name, O_RDWR) and mmap: the object may be a C program's, and
// nothing is written into it. "/name" and "name" are the same object.
//
// Whoever has permission may open an object, whoever owns it. It must be a
// regular file with one name: a symbolic link, a FIFO, a second hard link
// that somebody planted is refused, and what it points to is not touched.
//
// Options: ReadOnly, Mlock, Populate.
//
// Errors: ErrNotExist; ErrNotReady if it still has no size after 100 ms
// (its maker is slow, or died between making and sizing it: then Remove it);
// fs.ErrPermission; fs.ErrInvalid for a bad name or what is no regular file.
func Open(name string, opts ...Option) (*Segment, error) {
	o, err := lookup("shm.Open", name)
	if err != nil {
		return nil, err
	}
	c, err := configure(opts, optReadOnly|optMemory)
	if err != nil {
		return nil, o.fail(err)
	}
	s, err := openObject(context.Background(), &o, &c, nil)
	return s, o.fail(err)
}

// errUnsettled: the object looks as it may look for a moment while a correct
// program makes it.
type errUnsettled struct{ error }

func (e errUnsettled) Unwrap() error { return e.error }

// openObject opens and maps what is at o.path. admit, if not nil, sees the
// descriptor's status before anything is mapped.
func openObject(ctx context.Context, o *object, c *config, admit func(*unix.Stat_t) error) (*Segment, error) {
	for deadline := time.Now().Add(settleTime); ; {
		f, st, err := openOnce(o.path, c.readOnly)
		if err == nil && admit != nil {
			if err = admit(&st); err != nil {
				f.Close()
			}
		}
		if err == nil {
			return newSegment(f, fmt.Sprintf("%q", o.name), st.Size, true, c)
		}
		if !errors.As(err, &errUnsettled{}) || time.Now().After(deadline) {
			return nil, err
		}
		if err := pause(ctx, settlePoll); err != nil {
			return nil, err
		}
	}
}

// openOnce opens an existing object without ever making, truncating or
// following anything. Never with O_CREAT: on a name that exists, it is EACCES
// for another user's file in a sticky directory (P-K9).
func openOnce(path string, readOnly bool) (*os.File, unix.Stat_t, error) {
	// Look before opening: opening a device or FIFO has effects of its own.
	st, err := lstat(path)
	if err != nil {
		return nil, st, explainOpen(path, readOnly, err)
	}
	if what := fileType(st.Mode); what != "" {
		return nil, st, wrongType(path, what)
	}
	flags := unix.O_RDWR
	if readOnly {
		flags = unix.O_RDONLY
	}
	// O_NONBLOCK, for the name may be a FIFO by now; regular files ignore it.
	f, err := openFd(path, flags|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, st, explainOpen(path, readOnly, err)
	}
	if st, err = fstat(f); err == nil {
		err = acceptable(path, &st)
	}
	if err != nil {
		f.Close()
		return nil, st, err
	}
	return f, st, nil
}

// acceptable judges an open object by its status. Nlink 0 is an object that
// was removed after we opened it, 2 one that a C program publishes with link
// and unlink, size 0 one that shm_open has just made: all may pass.
func acceptable(path string, st *unix.Stat_t) error {
	switch {
	case fileType(st.Mode) != "":
		return wrongType(path, fileType(st.Mode))
	case st.Nlink == 0:
		return errUnsettled{ErrNotExist}
	case st.Nlink > 1:
		return errUnsettled{fmt.Errorf("%s has %d hard links, so it is some other file too: %w; find / -xdev -inum %d shows it (shm.FromFile maps it all the same)",
			path, st.Nlink, fs.ErrInvalid, st.Ino)}
	case st.Size == 0:
		return errUnsettled{fmt.Errorf("%w: it still has size 0; its maker is slow or died (Remove it then)", ErrNotReady)}
	}
	return nil
}

func wrongType(path, what string) error {
	return fmt.Errorf("%s is %s, not a regular file: %w", path, what, fs.ErrInvalid)
}

func explainOpen(path string, readOnly bool, err error) error {
	switch err {
	case unix.ENOENT:
		return fmt.Errorf("%s: %w; was it made, and in this mount namespace?", path, ErrNotExist)
	case unix.ELOOP: // O_NOFOLLOW, or too many on the way
		return wrongType(path, "a symbolic link")
	case unix.EACCES, unix.EPERM:
		hint := "; its owner's Mode does not admit this user"
		if !readOnly {
			hint = "; its owner's Mode does not let this user write (shm.ReadOnly needs less)"
		}
		return fmt.Errorf("%s: %w%s", path, err, hint)
	}
	return fmt.Errorf("%s: %w", path, err)
}

// pause sleeps, or returns ctx's error early.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
