// Package seqlock holds values in shared memory that many processes read
// without writing anything: readers take no lock, need no write permission, and
// cost each other nothing.
//
//	seqlock.go       Seqlock: one copy, readers retry
//	doublebuffer.go  DoubleBuffer: two copies, readers do not wait for a writer
//	writer.go        what both writers share: excluding each other, and death
package seqlock

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"interlock/internal/inherit"
	"interlock/internal/layout"
	"interlock/internal/spin"
	"interlock/mutex"
)

var (
	// ErrWriterDead: a writer died in the middle of a write, so the value is
	// torn. The next Store repairs it.
	ErrWriterDead = errors.New("seqlock: a writer died while writing; the next Store repairs the value")
	// ErrReadOnly: a write through memory that is mapped read-only.
	ErrReadOnly = errors.New("seqlock: its memory is mapped read-only")
)

// A Seqlock holds one value of type T. Readers copy it out and retry if a
// writer came between; writers exclude each other across processes.
//
// T must have no pointers, and only fields that mean the same in every
// process; methods panic, naming the field, if it has others.
//
// The zero value, which is what fresh shared memory holds, holds the zero T.
// Place it at an address that is a multiple of 8 (64 spares readers a cache
// line). It must not be copied after first use.
//
// Fairness: writers are served as mutex.Mutex serves lockers. A reader may be
// kept retrying by writers that never pause; it never delays them.
//
// A reader that dies leaves nothing. When a writer dies in the middle of a
// write, Load returns ErrWriterDead until the next Store, which writes the value
// whole. Before and after the middle, its death goes unnoticed.
//
// In the terminology of the Go memory model, extended to processes that share
// the memory: a Store or Update synchronizes before each Load that returns the
// value it wrote, and before each later Store or Update.
//
// The sequence, and every way it may change:
//
//	offset  field
//	 0      seq   even: the value is whole; odd: it is being written
//	 8      mu    held by the writer while seq is odd
//	48      reserved
//	64      v
//
//	E-Q1  even -> odd   a writer that holds mu; before it touches the value
//	E-Q2  odd -> even   the same writer; after its last store to the value
//
//	INV-Q1  seq is odd whenever the value may differ from what was last stored.
//	INV-Q2  seq is odd only while mu is held, or after its holder died. A writer
//	        that finds it odd after E-M7 leaves it odd, writes, and ends with E-Q2.
//	INV-Q3  seq never takes a value twice, so a reader that sees the same even
//	        value before and after its copy copied a whole value. (64 bits: P-Q4.)
type Seqlock[T any] struct {
	seq atomic.Uint64
	mu  mutex.Mutex
	_   [2]uint64
	v   T
}

// Load copies the value to dst. It waits while a writer is writing, and writes
// nothing to shared memory, so it works in a read-only mapping. ctx ends a wait
// only: a whole value is copied also when ctx is done. After an error, ctx.Err()
// or ErrWriterDead, what dst holds is unspecified.
func (s *Seqlock[T]) Load(ctx context.Context, dst *T) error {
	// read, which the compiler does not inline where T is a type parameter.
	if seq := s.seq.Load(); seq&1 == 0 && known((*T)(nil)) { // acquire, pairs with E-Q2
		*dst = s.v
		fenceLoads()
		if s.seq.Load() == seq {
			acquire(addr(s))
			return nil
		}
	}
	return s.loadSlow(ctx, dst)
}

// TryLoad makes one attempt to copy the value to dst, and reports whether it
// did. It fails, leaving dst unspecified, if a writer is writing or came
// between. It never waits.
func (s *Seqlock[T]) TryLoad(dst *T) bool {
	if !s.read(dst) {
		layout.MustBeFlat[T]("seqlock") // perhaps it was not known yet
		if !s.read(dst) {
			return false
		}
	}
	acquire(addr(s))
	return true
}

// read makes one attempt, if T is known to be fit for shared memory.
func (s *Seqlock[T]) read(dst *T) bool {
	seq := s.seq.Load() // acquire, pairs with E-Q2: the copy below sees that write
	if seq&1 != 0 || !known((*T)(nil)) {
		return false
	}
	*dst = s.v
	fenceLoads() // an acquire load would not hold back the copy's loads (P-Q3)
	return s.seq.Load() == seq
}

// loadSlow is Load where the first attempt failed.
func (s *Seqlock[T]) loadSlow(ctx context.Context, dst *T) error {
	for tries := 0; !s.TryLoad(dst); tries++ {
		if err := s.await(ctx, tries); err != nil {
			return err
		}
	}
	return nil
}

// Store replaces the value. It waits for other writers. After an error the value
// is unchanged: ctx.Err(), ErrReadOnly, or one of mutex.Mutex.LockContext that says
// why this process cannot lock here, such as mutex.ErrPIDNamespace.
func (s *Seqlock[T]) Store(ctx context.Context, src *T) error {
	layout.MustBeFlat[T]("seqlock")
	if err := enter(ctx, addr(s), &s.mu); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.write(src)
	return nil
}

// Update lets f change a private copy of the value and stores what f made of
// it, as one step for readers and other writers. If f panics, nothing changes.
// It returns ErrWriterDead, without calling f, if a dead writer left the value
// torn: only a Store can repair that. Other errors are those of Store.
func (s *Seqlock[T]) Update(ctx context.Context, f func(v *T)) error {
	layout.MustBeFlat[T]("seqlock")
	if err := enter(ctx, addr(s), &s.mu); err != nil {
		return err
	}
	defer s.mu.Unlock() // an orphan that write does not reach stays one
	if s.seq.Load()&1 != 0 {
		return ErrWriterDead
	}
	v := new(T)
	*v = s.v
	f(v)
	s.write(v)
	return nil
}

// write stores *src; the caller holds mu.
func (s *Seqlock[T]) write(src *T) {
	odd := s.seq.Load() | 1
	begin(&s.seq, odd) // E-Q1
	s.v = *src
	releaseMerge(addr(s))
	end(&s.seq, odd) // E-Q2
	inherit.Whole(&s.mu)
}

// Waiting for a writer: readers may be many and may not write, so nobody can
// wake them. They spin for as long as a copy takes, then sleep ever longer.
const (
	spinTries  = 100
	spinPauses = 10
	firstNap   = 50 * time.Microsecond
	longestNap = time.Millisecond
)

// await passes the time after a failed attempt.
func (s *Seqlock[T]) await(ctx context.Context, tries int) error {
	if tries < spinTries {
		spin.Pause(spinPauses)
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// A writer that is gone between two equal odd sequences died in its write: a
	// living one holds mu for as long as the sequence is odd (INV-Q2).
	seq := s.seq.Load()
	if seq&1 != 0 && inherit.WriterGone(&s.mu) && s.seq.Load() == seq {
		return ErrWriterDead
	}
	// A reader may not write, so no writer can know of it and wake it.
	time.Sleep(min(firstNap<<min(tries-spinTries, 10), longestNap))
	return nil
}
