package shm

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Remove takes the name away, as shm_unlink does. Processes that have the
// object mapped keep it (their Removed then says so); the next Create or
// OpenOrCreate makes another object. The memory is given back with the last
// mapping and descriptor.
//
// Remove also takes away what a dead initialiser left under the name. One at
// work is not disturbed, and may publish the name again.
//
// Errors: ErrNotExist; fs.ErrPermission: only an object's owner, or root, may
// remove it; fs.ErrInvalid for a bad name or a directory. A process killed in Remove has removed the name or not.
func Remove(name string) error {
	o, err := lookup("shm.Remove", name)
	if err != nil {
		return err
	}
	sweepLock(&o)
	switch err = unlink(o.path); {
	case errors.Is(err, unix.ENOENT):
		err = fmt.Errorf("%s: %w", o.path, ErrNotExist)
	case errors.Is(err, unix.EISDIR):
		err = wrongType(o.path, "a directory")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		err = fmt.Errorf("%s: %w; only its owner may remove it", o.path, err)
	case err != nil:
		err = fmt.Errorf("%s: %w", o.path, err)
	}
	return o.fail(err)
}

// sweepLock unlinks the lock file if its holder is dead, by the rule of
// INV-N2. Best effort: a lock file that stays is harmless.
func sweepLock(o *object) {
	if !exists(o.lock) {
		return
	}
	f, err := openFd(o.lock, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if ok, _ := tryFlock(f); ok && isAt(o.lock, f) {
		unlink(o.lock)
	}
}
