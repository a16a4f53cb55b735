package semaphore

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"interlock/internal/mark"
	"interlock/internal/names"
	"interlock/internal/region"
)

// Semaphores with a name: the files that sem_open(3) of glibc makes and maps, so
// that programs in C, and in Python, open the same object by the same name.
//
//	/dev/shm/sem.NAME   32 bytes: one Semaphore, with private = 128
//
// A file appears under its name complete, in one step:
//
//	N1  a new file under a random temporary name, flock'ed by its maker
//	N2  32 bytes written: the memory is there, or the call fails (P-K5)
//	N3  Init, and the permission bits
//	N4  link(2) to the final name: fails, and changes nothing, if that is taken
//	N5  the temporary name is removed
//
// A maker killed between N1 and N5 leaves the temporary name, which means nothing
// to anybody; the kernel drops its flock. So whoever makes the next semaphore
// removes every temporary file that nobody has locked.

// dir is where glibc keeps its semaphores. Tests point it elsewhere.
var dir = "/dev/shm"

const (
	prefix   = "sem."            // glibc's, before every name
	tempName = ".interlock-sem-" // and a random number: no name can clash with it
	nameMax  = 255 - len(prefix) // NAME_MAX, in bytes
	fileSize = 32                // sizeof(sem_t); a longer file is accepted
)

// ErrNotSemaphore: the name belongs to something that cannot be a semaphore.
var ErrNotSemaphore = errors.New("not a semaphore")

// A Named is a semaphore that is opened by name. It is a Semaphore in memory that
// all who open the name share, until Close.
//
// The object stays until Unlink, or the next start of the machine, whoever closes
// it or dies.
type Named struct {
	*Semaphore // nil after Close

	mu  sync.Mutex // guards mem, and the pointer in Close
	mem []byte     // nil after Close
}

// Open opens the semaphore of this name, the same object as sem_open(3) of the
// same name. "/name" and "name" mean the same; there can be no other slash, and
// at most 251 bytes.
//
// Options: Create, and with it Exclusive and Mode.
//
// Errors: fs.ErrNotExist; fs.ErrExist; fs.ErrPermission; fs.ErrInvalid for a bad
// name or option; ErrNotSemaphore for a file that is too small, and for what is no
// regular file. A process that dies in Open leaves the complete semaphore or
// nothing under its name.
func Open(name string, opts ...Option) (*Named, error) {
	n, err := open(name, opts)
	if err != nil {
		return nil, fmt.Errorf("semaphore.Open %q: %w", name, err)
	}
	return n, nil
}

// Unlink removes the name at once, as sem_unlink(3). Who has the semaphore open
// keeps it; who opens the name from now on gets another one, or none.
func Unlink(name string) error {
	path, err := pathOf(name)
	if err == nil {
		if err = unix.Unlink(path); err != nil {
			err = fmt.Errorf("unlink %s: %w", path, err)
		}
	}
	if err != nil {
		return fmt.Errorf("semaphore.Unlink %q: %w", name, err)
	}
	return nil
}

// Close gives the semaphore's memory back; the object and its permits stay. It
// returns an error for errors.Is(err, shm.ErrBusy), and does nothing, while a
// goroutine of this process waits in Acquire. Closing again does nothing. The
// other methods must not be called during or after it.
func (n *Named) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mem == nil {
		return nil
	}
	lo, hi := span(n.mem)
	if err := region.Detach(lo, hi); err != nil {
		return fmt.Errorf("semaphore: Close: %w", err)
	}
	err := unix.Munmap(n.mem)
	n.mem, n.Semaphore = nil, nil // a later call panics over nil; the old address could belong to others
	return err
}

// An Option changes how Open opens. The zero Option changes nothing.
type Option struct{ set func(*config) }

type config struct {
	create, exclusive, mode bool
	permits                 uint32
	perm                    os.FileMode
}

// Create makes the semaphore, with this many permits, if the name is free. One
// that exists is opened as it is.
func Create(permits uint32) Option {
	return Option{func(c *config) { c.create, c.permits = true, permits }}
}

// Exclusive, with Create: a name that is taken is an error, fs.ErrExist.
var Exclusive = Option{func(c *config) { c.exclusive = true }}

// Mode, with Create, sets the permission bits of a semaphore that is made,
// exactly and under any umask. The default is 0600. Others need reading and
// writing to open it.
func Mode(perm os.FileMode) Option {
	return Option{func(c *config) { c.mode, c.perm = true, perm }}
}

func configure(opts []Option) (config, error) {
	c := config{perm: 0o600}
	for _, o := range opts {
		if o.set != nil {
			o.set(&c)
		}
	}
	switch {
	case !c.create && (c.exclusive || c.mode):
		return c, fmt.Errorf("options Exclusive and Mode mean nothing without Create: %w", fs.ErrInvalid)
	case c.permits > MaxValue:
		return c, fmt.Errorf("option Create(%d), the most is %d: %w", c.permits, MaxValue, fs.ErrInvalid)
	case c.perm&^0o777 != 0:
		return c, fmt.Errorf("Mode(%v) has more than permission bits: %w", c.perm, fs.ErrInvalid)
	}
	return c, nil
}

// pathOf checks a name and returns its file, which cannot be outside dir.
func pathOf(name string) (string, error) {
	n, err := names.Plain("semaphore", name, nameMax)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, prefix+n), nil
}

func open(name string, opts []Option) (*Named, error) {
	path, err := pathOf(name)
	if err != nil {
		return nil, err
	}
	c, err := configure(opts)
	if err != nil {
		return nil, err
	}
	for {
		if !c.exclusive {
			n, err := openExisting(path)
			if !c.create || !errors.Is(err, fs.ErrNotExist) {
				return n, err
			}
		}
		n, err := create(path, &c)
		if c.exclusive || !errors.Is(err, fs.ErrExist) {
			return n, err
		}
		// Somebody was faster. That this repeats takes somebody who unlinks the
		// name in between, each time.
	}
}

// openExisting never makes a file: O_CREAT on another user's is refused even to
// root (P-K9). O_NONBLOCK: a FIFO under the name must not block us.
func openExisting(path string) (*Named, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%w: %s is a symbolic link", ErrNotSemaphore, path)
	case errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENXIO):
		return nil, fmt.Errorf("%w: %s is no regular file", ErrNotSemaphore, path)
	case err != nil:
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: %s is no regular file", ErrNotSemaphore, path)
	case info.Size() < fileSize:
		return nil, fmt.Errorf("%w: %s has %d bytes, not %d; Unlink it if it is a leftover", ErrNotSemaphore, path, info.Size(), fileSize)
	}
	return mapFile(f)
}

func mapFile(f *os.File) (*Named, error) {
	mem, err := unix.Mmap(int(f.Fd()), 0, fileSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("mmap %s: %w", f.Name(), err)
	}
	return &Named{Semaphore: overlay(mem), mem: mem}, nil
}

// create is N1 to N5.
func create(path string, c *config) (_ *Named, err error) {
	reclaim()
	f, err := newTemp()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	defer unix.Unlink(f.Name()) // N5; best effort, a leftover is reclaimed
	// N2. A write reserves, where ftruncate would not.
	if _, err := f.Write(make([]byte, fileSize)); err != nil {
		return nil, fmt.Errorf("cannot reserve %d bytes, see df %s: %w", fileSize, dir, err)
	}
	n, err := mapFile(f)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			n.Close()
		}
	}()
	n.Init(c.permits) // N3
	if err := f.Chmod(c.perm); err != nil {
		return nil, err
	}
	mark.At("semaphore.Open made not linked")
	if err := os.Link(f.Name(), path); err != nil { // N4
		return nil, err
	}
	mark.At("semaphore.Open linked not tidied")
	return n, nil
}

// newTemp is N1. Between making the file and locking it, a reclaim may have taken
// it for a leftover; then the next random name is tried.
func newTemp() (*os.File, error) {
	for {
		var random [8]byte
		rand.Read(random[:]) // never fails
		path := filepath.Join(dir, tempName+hex.EncodeToString(random[:]))
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ours, err := tryLock(f)
		if ours {
			_, err = os.Lstat(path)
		}
		if ours && err == nil {
			return f, nil
		}
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			unix.Unlink(path)
			return nil, err
		}
	}
}

// reclaim removes the temporary files of dead makers. Other users' stay: they are
// in their way only.
func reclaim() {
	paths, _ := filepath.Glob(filepath.Join(dir, tempName+"*")) // the pattern is valid
	for _, path := range paths {
		f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if abandoned, _ := tryLock(f); abandoned {
			unix.Unlink(path)
		}
		f.Close()
	}
}

// tryLock takes f's flock if nobody has it. The kernel drops it with the last
// descriptor, so a dead process holds none.
func tryLock(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("flock %s: %w", f.Name(), err)
	}
	return true, nil
}
