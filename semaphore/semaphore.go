// Package semaphore is a counting semaphore that lives in shared memory and
// works between processes, and glibc's named semaphores.
//
//	semaphore.go  the contract
//	word.go       the word: states, transitions, invariants
//	named.go      semaphores with a name, the same objects as sem_open's
package semaphore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"interlock/internal/mark"
	"interlock/internal/park"
	"interlock/internal/race"
	"interlock/internal/region"
	"interlock/internal/sigbus"
)

var (
	// ErrOverflow: the semaphore already holds MaxValue permits.
	ErrOverflow = errors.New("semaphore: it holds the most permits possible")
	// ErrReadOnly: the memory is a segment that was opened with shm.ReadOnly. (Of
	// memory that the caller mapped itself nothing is known: without write
	// permission a call that writes ends the process.)
	ErrReadOnly = errors.New("semaphore: its memory is mapped read-only")
)

// A Semaphore is a counting semaphore for shared memory.
//
// The zero value, which is what fresh shared memory holds, is a semaphore with
// no permits. Place it in memory that every party maps with MAP_SHARED, at an
// address that is a multiple of 8. It must not be copied after first use.
//
// Fairness: goroutines of one process that wait are served in order of arrival.
// A newcomer's Acquire may overtake them as long as the oldest has waited less
// than 1 ms, plus 2 µs for each that queues; TryAcquire and other processes may at
// any time.
//
// A semaphore has no owner. A process that dies leaves the count exact, at
// whatever instruction it dies, and wakes of the dead are made up for within
// 100 ms; but a permit that it had acquired is gone with it (P-S4). Who needs
// it back must keep accounts of who holds permits, under a mutex.Mutex for
// instance, and recompute.
//
// In the terminology of the Go memory model, extended to processes that share
// the memory: each Release synchronizes before the Acquire that takes its
// permit.
//
// The layout is that of glibc's sem_t on 64-bit Linux; after Init, C programs
// can use it as a process-shared semaphore.
//
//	offset  field
//	 0      data     value and waiters: see word.go
//	 8      private  Init: 128, which to glibc means process-shared
//	12      pad
//	16      unused
type Semaphore struct {
	data    atomic.Uint64
	private atomic.Uint32
	_       uint32
	_       [2]uint64
}

// Init sets the number of permits, at most MaxValue, and makes s usable by C
// programs. Call it once, in one process, before others use s: it forgets who
// waits. It panics if permits is more than MaxValue, and, with ErrReadOnly, in a
// read-only segment.
func (s *Semaphore) Init(permits uint32) {
	if permits > MaxValue {
		panic(fmt.Sprintf("semaphore: Init with %d permits, the most is %d", permits, MaxValue))
	}
	s.mustWrite()
	s.private.Store(128)
	s.data.Store(uint64(permits))
}

// Acquire takes a permit, and waits for one if there is none. It took one only
// if it returns nil; with ctx.Err() it took none, and no wake was used up. Other
// errors: ErrReadOnly; shm.ErrTruncated if somebody made the file under s shorter
// while it waited.
//
//go:nosplit
func (s *Semaphore) Acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if park.BucketAt(s.addr()).Calm() && s.grab() {
		race.Acquire(s.addr())
		return nil
	}
	return s.acquire(ctx)
}

// TryAcquire takes a permit if there is one, and reports whether it did. Of
// a read-only segment it panics with ErrReadOnly.
//
//go:nosplit
func (s *Semaphore) TryAcquire() bool {
	if !s.grab() {
		s.mustWrite()
		if !s.take(false) {
			return false
		}
	}
	race.Acquire(s.addr())
	return true
}

// Release adds a permit, and wakes a waiter if there is one. It never blocks.
// It returns ErrOverflow, and adds nothing, if there are MaxValue permits; or
// ErrReadOnly.
//
//go:nosplit
func (s *Semaphore) Release() error {
	if !s.put() {
		return s.give()
	}
	return nil
}

// Value is the number of permits. It may have changed by the time Value
// returns.
func (s *Semaphore) Value() uint32 { return uint32(s.data.Load()) }

// acquire is Acquire where the fast path failed.
func (s *Semaphore) acquire(ctx context.Context) error {
	if region.IsReadOnly(s.addr()) {
		return ErrReadOnly
	}
	if !park.MayOvertake(s.futex()) || !s.takeSoon() {
		if err := s.acquireSlow(ctx); err != nil {
			return err
		}
	}
	race.Acquire(s.addr())
	return nil
}

// takeSoon takes a permit that is there, or comes soon.
func (s *Semaphore) takeSoon() bool {
	if s.take(false) {
		return true
	}
	b := park.BucketAt(s.addr())
	return b.Calm() && b.Spin(func() bool { return s.take(false) })
}

// acquireSlow waits in the queue of this process; only its oldest counts
// itself in nwaiters and sleeps in the kernel.
func (s *Semaphore) acquireSlow(ctx context.Context) (err error) {
	if s.addr()%8 != 0 {
		panic(fmt.Sprintf("semaphore: %#x is not a multiple of 8", s.addr()))
	}
	region.Note(s.addr())
	defer sigbus.Caught(&err, sigbus.Faults()) // P-K6
	w := park.EnterAcquire(s.futex(), s.look)
	defer w.Leave()
	if err := w.Listen(ctx); err != nil {
		return err
	}
	if s.take(false) {
		return nil
	}
	s.data.Add(oneWaiter) // E-S2
	mark.At("E-S2 counted not asleep")
	for !s.take(true) { // E-S3
		if _, err := w.Sleep(ctx, 0); err != nil {
			s.forgo()
			return err
		}
	}
	return nil
}

func (s *Semaphore) overflow(d uint64) error {
	if v := d & valueMask; v > MaxValue {
		return fmt.Errorf("%w (the value is %d: these bytes are no semaphore)", ErrOverflow, v)
	}
	return ErrOverflow
}

func (s *Semaphore) mustWrite() {
	if region.IsReadOnly(s.addr()) {
		panic(ErrReadOnly)
	}
}
