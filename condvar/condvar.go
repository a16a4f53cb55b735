// Package condvar is a condition variable that lives in shared memory, works
// between processes, and that no death can break.
package condvar

import (
	"context"
	"errors"
	"math"
	"sync/atomic"

	"interlock/futex"
	"interlock/internal/inherit"
	"interlock/internal/mark"
	"interlock/internal/park"
	"interlock/internal/race"
	"interlock/internal/region"
	"interlock/internal/sigbus"
	"interlock/mutex"
)

// A Cond is a condition variable for shared memory, used with a mutex.Mutex in
// the same memory: a place where goroutines of any process wait until another
// one changed what the mutex guards.
//
//	m.Lock()
//	for !condition() {
//		c.Wait(&m)
//	}
//	... the condition holds, and so does m ...
//	m.Unlock()
//
// The loop is necessary: Wait may return without a Signal, and whoever locks m
// first may undo the condition.
//
// The zero value, which is what fresh shared memory holds, is ready. Place it
// at an address that is a multiple of 4. It must not be copied after first use.
// All waiters must use the same mutex.
//
// Fairness: within one process the waiters that came first are woken first. A
// Signal wakes a waiter in the process whose oldest waiter has slept longest.
// Within 100 ms it may wake one in each other process as well: a process
// cannot tell a signal that it missed from one that went elsewhere.
//
// A process that dies while it waits, signals, or has just been woken leaves
// nothing behind that could block others: the Cond has no lock, no list and no
// count that must be right. A Signal that a dying process had started or
// received reaches the other waiters within 100 ms; a Broadcast likewise, but in
// a crowd, where 32 processes and more sleep on the Cond, each finds it by a look
// of its own, within 0.4 s. If the process held the mutex, that is the mutex's
// matter: Wait returns as mutex.Mutex says.
//
// Calls through a segment that was opened with shm.ReadOnly panic.
//
// In the terminology of the Go memory model, extended to processes that share
// the memory: a Signal or Broadcast synchronizes before the return of each Wait
// that it ends.
//
// The word, and every way it may change:
//
//	offset  field
//	 0      seq       futex word: counts signals and broadcasts, wraps
//	 4      waiters   who said that they wait; too high after one was killed
//	 8      casts     counts broadcasts, wraps
//	12      reserved  0
//
//	E-C1  waiters + 1   Wait, before it reads seq and casts and unlocks the mutex
//	E-C2  seq + 1       Signal, Broadcast; then wake one, or all, if waiters > 0
//	E-C3  waiters - 1   Wait, when it no longer sleeps
//	E-C4  casts + 1     Broadcast, before E-C2
//
//	INV-C1  waiters is never too low while one sleeps or is about to: a signaller
//	        that sees 0 came before E-C1, and so before the waiter read seq.
//	        Too high costs a call that wakes nobody. It blocks nothing (P-C2).
//	INV-C2  One goroutine of a process sleeps in the kernel for all that wait
//	        there. If seq moved after it read it, it does not go to sleep (futex F1),
//	        is woken, or is roused by the look within park.LookEvery. It then wakes
//	        as many as seq has moved by, oldest first, if they came before.
//	        So those that were there before a signal never all sleep on while it
//	        was used up by a later or a dying one (P-C3).
//
// seq has 32 bits: a waiter that is stopped between reading it and sleeping
// while exactly a multiple of 2^32 signals pass would sleep on until the next.
type Cond struct {
	seq     atomic.Uint32
	waiters atomic.Uint32
	casts   atomic.Uint32
	_       uint32
}

// Wait unlocks m, waits until it is signalled, locks m again and returns. The
// caller must hold m, and not as an orphan that an earlier Wait left unrepaired,
// else Wait panics.
//
// It panics, holding m, with an error that is mutex.ErrOwnerDead if m's owner
// died meanwhile and this process could not repair what m guards: a deferred
// Unlock then leaves the orphan to others. It panics, not holding m, with
// mutex.ErrNotRecoverable if m was condemned.
func (c *Cond) Wait(m *mutex.Mutex) {
	if err := c.WaitContext(context.Background(), m); err != nil {
		panic(err)
	}
}

// WaitContext is Wait with a way out. Whatever it returns, the caller holds m
// again, except for mutex.ErrNotRecoverable (and mutex.ErrPIDNamespace,
// mutex.ErrNotShared or unix.EFAULT, if meanwhile m became a mutex that this
// process cannot lock at all):
//
//   - nil: signalled, or woken for no reason;
//   - ctx.Err(): ctx was done first, and no signal was used up;
//   - mutex.ErrOwnerDead: m is held, an orphan that this process could not
//     repair; Unlock leaves it to others;
//   - mutex.ErrNotRecoverable: m was condemned, and is not held;
//   - shm.ErrTruncated: somebody made the file under c, or under m, shorter; m is
//     held if its own memory is whole.
func (c *Cond) WaitContext(ctx context.Context, m *mutex.Mutex) error {
	if !inherit.Held(m) {
		panic("condvar: Wait with a mutex that this process does not hold")
	}
	if inherit.Orphan(m) {
		panic("condvar: Wait with an unrepaired orphan")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mustWrite()
	c.waiters.Add(1) // E-C1
	w := park.Join(&c.seq, c.counts)
	err := c.await(ctx, w, m)
	mark.At("E-C3 woken not locked")
	if dead := inherit.Lock(context.Background(), m); dead != nil {
		return errors.Join(dead, err)
	}
	return err
}

// await unlocks m and waits.
func (c *Cond) await(ctx context.Context, w *park.Waiter, m *mutex.Mutex) (err error) {
	region.Note(c.addr())
	defer sigbus.Caught(&err, sigbus.Faults()) // P-K6
	defer c.leave()
	defer w.Leave()
	m.Unlock()
	mark.At("E-C1 unlocked not asleep")
	if err = w.Await(ctx); err == nil {
		race.Acquire(c.addr())
	}
	return err
}

// counts reads what Broadcast counts up last, first. A Broadcast that comes between
// the two reads then looks like one to come whose signal is still missing, and calls
// all; the other way round it would look like a signal, call one, and leave the rest
// asleep.
func (c *Cond) counts() park.Counts {
	signals := c.seq.Load()
	return park.Counts{Signals: signals, Broadcasts: c.casts.Load()}
}

// leave is E-C3. It never makes waiters too low: a hostile 0 stays 0.
func (c *Cond) leave() {
	for {
		n := c.waiters.Load()
		if n == 0 || c.waiters.CompareAndSwap(n, n-1) {
			return
		}
	}
}

// Signal wakes one waiter, if there is any. The caller may hold the mutex, and
// need not; what makes the condition true must have been done holding it.
func (c *Cond) Signal() { c.wake(1) }

// Broadcast wakes all waiters.
func (c *Cond) Broadcast() {
	c.mustWrite()
	race.ReleaseMerge(c.addr()) // here too: some waiters go by casts alone
	c.casts.Add(1)              // E-C4
	c.wake(math.MaxInt32)
}

func (c *Cond) wake(n int) {
	c.mustWrite()
	race.ReleaseMerge(c.addr())
	c.seq.Add(1) // E-C2
	if c.waiters.Load() > 0 {
		mark.At("E-C2 moved not woken")
		_, _ = futex.Wake(&c.seq, n)
	}
}

func (c *Cond) mustWrite() {
	if region.IsReadOnly(c.addr()) {
		panic("condvar: its memory is mapped read-only")
	}
}
