package semaphore

import (
	"interlock/futex"
	"interlock/internal/mark"
	"interlock/internal/park"
	"interlock/internal/race"
	"interlock/internal/region"
)

// The word and every way it may change.
//
//	 63                    32 31                     0
//	+------------------------+------------------------+
//	|    nwaiters            |    value (permits)     |   uint64, offset 0; the futex is the lower half
//	+------------------------+------------------------+
//
//	value     permits that can be had; at most MaxValue
//	nwaiters  kernel sleepers who said so. Never too low while one sleeps, or a
//	          release would not wake it; too high after a sleeper was killed,
//	          which costs each release a call that finds nobody, no more.
//
//	Transitions, each one CAS on both halves                        order
//	E-S1  value > 0:  value - 1                Acquire, TryAcquire   acquire, pairs with E-S4
//	E-S2  nwaiters + 1                         before sleeping       none needed (INV-S2)
//	E-S3  value > 0:  value - 1, nwaiters - 1  Acquire, after E-S2   acquire, pairs with E-S4
//	E-S4  value + 1, then wake one if nwaiters > 0     Release       release
//	E-S5  nwaiters - 1                         a cancelled waiter
//
//	Invariants
//	INV-S1  value changes by one permit at a time, in the same atomic that takes
//	        or gives it: no permit is lost or made, whoever dies when.
//	INV-S2  If a process sleeps and value > 0, a wake is on its way or a look
//	        will find value > 0 within park.LookEvery. (One atomic sees both
//	        halves, so a release after E-S2 wakes; before it, the kernel's
//	        comparison fails: futex F1; P-S5.)
//	INV-S3  Release touches nothing after E-S4: who got the permit may unmap the
//	        memory (P-S1). The wake needs only the address.
const (
	valueMask = 1<<32 - 1
	oneWaiter = 1 << 32

	// MaxValue is the most permits a semaphore can hold: glibc's SEM_VALUE_MAX.
	MaxValue = 1<<31 - 1
)

// grab is E-S1 in one attempt, for the fast paths. It may fail for no reason, and it
// does in processes that have read-only memory: the slower paths ask which.
func (s *Semaphore) grab() bool {
	d := s.data.Load()
	return d&valueMask != 0 && !region.AnyReadOnly() && s.data.CompareAndSwap(d, d-1) // E-S1
}

// put is E-S4 in one attempt, where nobody waits.
func (s *Semaphore) put() bool {
	d := s.data.Load()
	if d >= MaxValue || region.AnyReadOnly() {
		return false
	}
	race.ReleaseMerge(s.addr())
	return s.data.CompareAndSwap(d, d+1) // E-S4
}

// take is E-S1, and with queued E-S3.
func (s *Semaphore) take(queued bool) bool {
	for {
		d := s.data.Load()
		if d&valueMask == 0 {
			return false
		}
		want := d - 1
		if queued && d >= oneWaiter {
			want -= oneWaiter
		}
		if s.data.CompareAndSwap(d, want) { // E-S1 E-S3
			return true
		}
	}
}

// give is E-S4: the permit is visible first, the wake comes after (F1).
func (s *Semaphore) give() error {
	if region.IsReadOnly(s.addr()) {
		return ErrReadOnly
	}
	for {
		d := s.data.Load()
		if d&valueMask >= MaxValue {
			return s.overflow(d)
		}
		race.ReleaseMerge(s.addr())        // only where it may succeed: an overflow orders nothing
		if s.data.CompareAndSwap(d, d+1) { // E-S4; overflow is in the same atomic (P-S3)
			if d >= oneWaiter {
				mark.At("E-S4 given not woken")
				_, _ = futex.Wake(s.futex(), 1)
			}
			return nil
		}
	}
}

// forgo is E-S5. It never makes nwaiters too low: a hostile 0 stays 0.
func (s *Semaphore) forgo() {
	for {
		d := s.data.Load()
		if d < oneWaiter || s.data.CompareAndSwap(d, d-oneWaiter) { // E-S5
			return
		}
	}
}

// look finds permits beside a sleeper: their giver was killed before the wake,
// or whom it woke was killed before E-S3 (P-S2).
func (s *Semaphore) look() park.Finding { return park.RouseIf(s.data.Load()&valueMask > 0) }
