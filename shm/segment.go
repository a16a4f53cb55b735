package shm

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"interlock/internal/region"
)

// A Segment is this process's view of a shared object: a mapping and the
// descriptor it came from.
//
// The zero value is a closed Segment. A Segment must not be copied. Its
// methods may be called by several goroutines at once; the memory itself is
// for the primitives in it to guard.
//
// A Segment that is dropped without Close stays mapped for ever, and that is
// meant: a pointer that At returned may live in it where no collector looks,
// and goroutines may sleep on words in it. Only its descriptor is given back,
// once the collector finds the Segment gone.
//
// A process that dies, however, leaves nothing of its view: the kernel takes
// mapping and descriptor back. The object stays.
type Segment struct {
	mu    sync.RWMutex // Close writes; what needs the mapping to stay reads
	mem   []byte       // nil when closed
	file  *os.File     // nil when closed
	size  int64
	label string // for messages: `"hello"`
	named bool   // had a name when it was attached, so it can be removed
	ro    bool
	inits bool // an init function is running on it

	dir      string      // of a Segment of OpenFile: the directory that has its name
	nameSafe atomic.Bool // Sync has made that durable

	isSysV bool // has no descriptor, but
	shmid  int  // this identifier
}

// newSegment maps all of f, which it owns from then on, as c asks; on an error
// it closes f.
func newSegment(f *os.File, label string, size int64, named bool, c *config) (*Segment, error) {
	mem, err := mapFile(f, size, c)
	if err == nil {
		if err = c.prepare(mem); err != nil {
			unmapFile(mem, f)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	region.Mapped(span(mem))
	if c.readOnly {
		region.AddReadOnly(span(mem))
	}
	return &Segment{mem: mem, file: f, size: size, label: label, named: named, ro: c.readOnly}, nil
}

// Bytes returns the whole mapping, nil after Close. It is valid until Close;
// a touch of it after that ends the process.
func (s *Segment) Bytes() []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mem
}

// Size returns the length of Bytes, also after Close: the object's, as its
// maker asked for it. Mapped are whole pages.
func (s *Segment) Size() int64 { return s.size }

// File returns the segment's descriptor, for exec.Cmd.ExtraFiles or a socket;
// nil after Close, and for a System V segment, which has an identifier
// instead (SysVID). It belongs to the Segment: do not close it.
func (s *Segment) File() *os.File {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.file
}

// Sync makes a mapped file durable: when it returns nil, what was in the
// memory before the call is on the disk, and so, of a Segment of OpenFile, is
// the file's name. Other processes see the memory without it. For memory objects
// it does nothing.
//
// It says nothing about the order in which stores reach the disk before it
// returns, nor about those made meanwhile: the system writes pages back when it
// likes. What must be whole after a crash of the machine is written beside the
// old, synced, and then pointed to.
//
// Errors: ErrClosed; ErrRemoved if the file has no name any more, so that
// nothing will find it after a restart; what msync(2) and fsync(2) say.
func (s *Segment) Sync() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mem == nil {
		return fmt.Errorf("shm: Sync %s: %w", s.label, ErrClosed)
	}
	if s.isSysV {
		return nil // never on a disk
	}
	if err := again0(func() error { return unix.Msync(s.mem, unix.MS_SYNC) }); err != nil {
		return fmt.Errorf("shm: Sync %s: %w", s.label, err)
	}
	if err := s.removed("Sync"); err != nil {
		return err
	}
	if err := s.syncName(); err != nil {
		return fmt.Errorf("shm: Sync %s: the file's name: %w", s.label, err)
	}
	return nil
}

// syncName makes the name durable, once: msync(2) says nothing of the directory,
// and a file that was just made may not be in it after a restart. Where the
// directory cannot be opened or synced, the file's own metadata is what there is,
// which on the usual file systems takes a new name along.
func (s *Segment) syncName() error {
	if s.dir == "" || s.nameSafe.Load() {
		return nil
	}
	d, err := os.Open(s.dir)
	if err == nil {
		err = errors.Join(d.Sync(), d.Close())
	}
	if d == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		err = s.file.Sync()
	}
	s.nameSafe.Store(err == nil)
	return err
}

// Removed returns nil while the object still has the name it was opened by,
// and ErrRemoved once somebody removed it: Remove, rm, or systemd-logind at
// the user's last logout (P-K10). The mapping goes on working, but whoever
// opens the name now gets another object. An object that had no name when it
// was attached, such as a memfd, is never removed. A System V segment is, by
// SysVRemove or ipcrm, also if it has no key.
//
// The answer can be out of date when it arrives; it never goes back to nil.
//
// Errors: ErrRemoved, ErrClosed.
func (s *Segment) Removed() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.mem == nil {
		return fmt.Errorf("shm: Removed %s: %w", s.label, ErrClosed)
	}
	return s.removed("Removed")
}

func (s *Segment) removed(op string) error {
	if s.isSysV {
		return s.removedSysV(op)
	}
	if !s.named {
		return nil
	}
	st, err := fstat(s.file)
	if err != nil {
		return fmt.Errorf("shm: %s %s: %w", op, s.label, err)
	}
	if st.Nlink == 0 {
		return fmt.Errorf("shm: %s %s: %w; close it and open or create it again", op, s.label, ErrRemoved)
	}
	return nil
}

// Close unmaps the memory and closes the descriptor. It never removes the
// object, and peers notice nothing. Closing twice is fine and returns nil.
//
// Precondition: nobody in this process touches the memory during Close or
// later. A goroutine that waits for, or a mutex that is held by, this process
// in the memory makes Close return ErrBusy, naming the offset; nothing has
// changed then, and Close may be called again.
//
// A process killed in Close leaves nothing behind.
func (s *Segment) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mem == nil {
		return nil
	}
	if s.inits {
		return fmt.Errorf("shm: Close %s: %w: its init function is running", s.label, ErrBusy)
	}
	if err := region.Detach(span(s.mem)); err != nil {
		return fmt.Errorf("shm: Close %s: %w", s.label, tagged{err, ErrBusy})
	}
	mem, file := s.mem, s.file
	s.mem, s.file = nil, nil
	// Either can fail only if somebody else unmapped the memory or closed the
	// descriptor; say so, but the Segment is closed.
	if err := s.letGo(mem, file); err != nil {
		return fmt.Errorf("shm: Close %s: %w", s.label, err)
	}
	return nil
}

// setInits notes that an init function runs: Close inside it would pull away
// what is being published.
func (s *Segment) setInits(on bool) {
	s.mu.Lock()
	s.inits = on
	s.mu.Unlock()
}
