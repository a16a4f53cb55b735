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

// How exactly one process initialises an object that has no header.
//
// Two files: the object NAME, and beside it, while somebody is at work, an
// empty lock file ".interlock-NAME.init". Who holds the flock of *the inode
// that has the lock file's name* may build the object; the kernel drops the
// flock of a dead process.
//
//	C1  open NAME. There: done.                       killed: nothing changed
//	C2  make an unnamed file, flock it, link it as    killed before the link: nothing left
//	    the lock file; or, if that name is taken,     after: an empty lock file that
//	    open what has it and poll for its flock       nobody holds; the next takes it
//	C3  with the flock: does the lock file's name     killed: as C2
//	    still mean this inode, and is there still
//	    no NAME? Else let go and go to C1
//	C4  make an unnamed file, set its mode            killed: as C2; the unnamed file is
//	C5  reserve and map it: it is all zero            gone with its last descriptor,
//	C6  run init in it                                however far init came
//	C7  link it as NAME                               killed: NAME is complete; the lock
//	                                                  file is litter, taken by Remove
//	C8  unlink the lock file                          killed: done
//	C9  close it, which drops the flock
//
//	INV-N1  NAME appears by C7 only: initialised, zero elsewhere, final mode.
//	INV-N2  At most one live process is between C3 and C8: the lock file's
//	        name is unlinked only by who holds the flock of the inode it
//	        names (C3, C8, Remove), and each checks that under the flock.
//	INV-N3  A waiter of C2 needs nobody's help: it looks at the flock, at NAME
//	        and at the lock file itself, at most lockPoll apart.
//
// A foreign program, or Create, may make NAME meanwhile. Then C7 finds the
// name taken, the work is dropped, and C1 opens theirs.
//
// INV-N2 is ours to keep, but not against a stranger who unlinks the lock file
// under its holder (rm -rf of the whole directory, by the same user or root; rm
// /dev/shm/* spares it, for its dot). The next caller then makes another lock
// file, and runs init beside the first. Nothing mixes: each works in a file of
// its own, C7 gives the name to one, the other drops its work and takes that
// one's (INV-N1), and since C8 looks before it unlinks, two do not become three.
// What is lost is that init ran once. To look again before C7 would not save
// that: init has run by then. A lock without a name to unlink would: the flock of
// the directory, one for all names, and any user's to keep; or a socket's
// abstract name, free for any user to take, and another in each network
// namespace.
//
// Rejected: to build the object inside the lock file and rename that. A dead
// initialiser's half-made object then has a name, must be recognised and
// emptied under the eyes of whoever still maps it, and in a sticky directory
// another user's can neither be used safely nor removed.
const lockPoll = 5 * time.Millisecond

// OpenOrCreate maps the object of this name; if there is none it makes one
// of this size, all zero, runs init on it, and publishes it when init has
// returned nil. Of all processes and goroutines that call it at once, exactly
// one runs init; the others wait and map the finished object. init may be
// nil. (Who deletes the lock file meanwhile, .interlock-NAME.init, lets another
// run its init too; still one object is published, and all have that.)
//
// If init returns an error (or panics), nothing is published, the caller gets
// that error, and another waiting caller, if there is one, runs its own init
// on other, zeroed memory. If the initialiser dies, likewise, within
// milliseconds. init must not Close the segment, nor leave goroutines behind
// that use it. A process that init starts with the segment's File keeps the
// memory, not the lock.
//
// An existing object may be larger than size: Size tells. With the default
// Mode the segment is meant to be private, so another user's object under the
// name is refused (root's excepted), and another user who is making one is not
// waited for; pass Mode, as its maker did, to share between users.
//
// Options: Mode, ReadOnly (makes nothing: a missing object is ErrNotExist),
// Mlock, Populate.
//
// Errors: ctx.Err() while waiting for another initialiser, naming it;
// init's error; ErrTruncated if the existing object is smaller than size;
// those of Open and Create.
//
// What the initialiser wrote before its init returned synchronizes before the
// return of every OpenOrCreate that maps the object.
func OpenOrCreate(ctx context.Context, name string, size int64, init func(*Segment) error, opts ...Option) (*Segment, error) {
	o, err := lookup("shm.OpenOrCreate", name)
	if err != nil {
		return nil, err
	}
	c, err := configure(opts, optReadOnly|optMode|optMemory)
	if err != nil {
		return nil, o.fail(err)
	}
	s, made, err := openOrBuild(ctx, &o, size, &c, init)
	if err == nil && !made && s.Size() < size {
		err = fmt.Errorf("%w: %s has %d bytes, this program needs %d; Remove it if it is a leftover", ErrTruncated, o.path, s.Size(), size)
		s, err = nil, errors.Join(err, s.Close())
	}
	return s, o.fail(err)
}

func openOrBuild(ctx context.Context, o *object, size int64, c *config, init func(*Segment) error) (s *Segment, made bool, err error) {
	if size <= 0 {
		return nil, false, fmt.Errorf("size %d: want at least 1: %w", size, fs.ErrInvalid)
	}
	for start := time.Now(); ; {
		s, err := openObject(ctx, o, c, c.admit) // C1
		if !errors.Is(err, ErrNotExist) || c.readOnly {
			return s, false, err
		}
		step("see that there is none")
		if err := ctx.Err(); err != nil {
			return nil, false, err
		}
		lock, err := takeLock(ctx, o, c, start) // C2, C3
		if err != nil {
			return nil, false, err
		}
		if lock == nil {
			continue // something changed: look again
		}
		s, err = buildLocked(o, lock, size, c, init)
		if !errors.Is(err, errLostRace) {
			return s, err == nil, err
		}
	}
}

// errLostRace: somebody without our lock made the object first.
var errLostRace = errors.New("made by another")

func buildLocked(o *object, lock *os.File, size int64, c *config, init func(*Segment) error) (*Segment, error) {
	defer dropLock(o, lock) // also when init panics
	var initErr error
	s, err := build(o, size, c, func(s *Segment) error { // C4 to C7
		if init != nil {
			initErr = init(s)
		}
		return initErr
	})
	// Only publish's own ErrExist is a lost race, not one that init returned.
	if initErr == nil && errors.Is(err, ErrExist) {
		return nil, errLostRace
	}
	return s, err
}

// dropLock is C8 and C9.
func dropLock(o *object, lock *os.File) {
	if mayUnlink(o.lock, lock) {
		unlink(o.lock) // it may be another user's: then it stays, harmless
	}
	step("unlink the lock file")
	lock.Close()
}

// mayUnlink: path is f's, as far as can be known.
func mayUnlink(path string, f *os.File) bool {
	same, err := sameObject(path, f)
	return same || err != nil && !errors.Is(err, unix.ENOENT)
}

// admit refuses another user's object where the caller asked for a private
// one: somebody may have planted it, waiting for our data.
func (c *config) admit(st *unix.Stat_t) error {
	if err := c.trusts(st); err != nil {
		return fmt.Errorf("%w; Remove it, or pass shm.Mode to share between users", err)
	}
	return nil
}

// trusts says whose it is if he is not to be trusted.
func (c *config) trusts(st *unix.Stat_t) error {
	me := uint32(os.Geteuid())
	if c.modeGiven || c.readOnly || st.Uid == me || st.Uid == 0 {
		return nil
	}
	return fmt.Errorf("it belongs to uid %d and this process is uid %d: %w", st.Uid, me, fs.ErrPermission)
}

// takeLock returns the lock file, locked and verified; nil without an error
// if the caller should look for the object again.
func takeLock(ctx context.Context, o *object, c *config, start time.Time) (*os.File, error) {
	f, err := newLock(o, c.perm)
	if !errors.Is(err, ErrExist) {
		return f, err // ours, or no hope
	}
	f, err = openFd(o.lock, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, nil // its holder has just finished
	case errors.Is(err, unix.EACCES) && time.Since(start) < settleTime:
		return nil, pause(ctx, settlePoll)
	case err != nil:
		return nil, fmt.Errorf("lock file %s: %w; another user may be initialising, or left it (remove it then)", o.lock, err)
	}
	st, err := fstat(f)
	if err == nil && fileType(st.Mode) != "" {
		err = wrongType(o.lock, fileType(st.Mode))
	}
	ok := false
	if err == nil {
		ok, err = waitLock(ctx, o, f, func() error { return c.trusts(&st) })
	}
	if !ok {
		f.Close()
		f = nil
	}
	return f, err
}

// newLock makes the lock file, already locked by us when it appears (C2).
// Who may use the object may use its lock: perm, but never less than our own.
func newLock(o *object, perm os.FileMode) (*os.File, error) {
	n, err := newInode(o.dir, perm|0o600)
	if err != nil {
		return nil, err
	}
	ok, err := tryFlock(n.f)
	if err == nil && !ok {
		err = fmt.Errorf("flock of a file that nobody else can know: %w", unix.EWOULDBLOCK)
	}
	step("lock it")
	if err == nil {
		err = n.publish(o.lock)
	}
	if err != nil {
		n.abandon()
		return nil, err
	}
	step("link the lock file")
	if exists(o.path) { // C3; the lock is ours
		dropLock(o, n.f)
		return nil, nil
	}
	return n.f, nil
}

// waitLock polls for f's flock; false means look again (C2, C3). It polls
// because a blocked flock(2) cannot be cancelled without losing its thread. It
// waits for nobody whom admit refuses: he could keep the flock for ever, and his
// object would be refused too.
func waitLock(ctx context.Context, o *object, f *os.File, admit func() error) (bool, error) {
	for wait := 100 * time.Microsecond; ; wait = min(2*wait, lockPoll) {
		ok, err := tryFlock(f)
		if err != nil {
			return false, fmt.Errorf("lock file %s: %w", o.lock, err)
		}
		if !isAt(o.lock, f) {
			return false, nil // its holder finished or gave up, and unlinked it
		}
		if exists(o.path) {
			if ok {
				unlink(o.lock) // INV-N2: we hold the flock and the name is its
			}
			return false, nil
		}
		if ok {
			step("take over the lock")
			return true, nil
		}
		if err := admit(); err != nil {
			return false, fmt.Errorf("lock file %s, held by %s: %w; have its holder end it, or pass shm.Mode to share between users", o.lock, lockHolder(f), err)
		}
		if err := pause(ctx, wait); err != nil {
			return false, fmt.Errorf("waiting for %s to initialise it: %w", lockHolder(f), err)
		}
	}
}
