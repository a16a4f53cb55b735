package futex

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A Sleeper is one goroutine's place to sleep on a shared word such that its
// own process can rouse it too, without spending a wake of that word: to
// cancel the wait, or to make it look again. The zero value is ready. It must
// live on the Go heap, and one goroutine at a time may call Sleep.
type Sleeper struct {
	state atomic.Uint32 // a private futex word of this process
}

// States of a Sleeper.
//
//	awake  -> asleep   Sleep, before the system call
//	any    -> roused   Rouse
//	any    -> awake    Sleep, before it returns
const (
	awake uint32 = iota
	asleep
	roused
)

// Why a Sleep ended.
type Why int

const (
	Woken   Why = iota // a wake sent to the word was used up
	Changed            // the word did not hold the expected value
	Roused             // Rouse was called, before or during the sleep; or a signal
)

// Rouse ends the Sleep under way, or the next one at once. It is cheap when
// nobody sleeps.
func (s *Sleeper) Rouse() {
	if s.state.Swap(roused) == asleep {
		sysWakePrivate(&s.state)
	}
}

// Sleep blocks while *addr is val and nobody wakes the word or rouses s.
//
// A Rouse that comes after the kernel let go of the sleeper and before Sleep
// returns counts as this sleep's: the caller must look at everything that
// might have made someone rouse it after each return.
func (s *Sleeper) Sleep(addr *atomic.Uint32, val uint32) (Why, error) {
	if !s.state.CompareAndSwap(awake, asleep) {
		s.state.Store(awake)
		return Roused, nil
	}
	errno := sleepBoth(addr, val, &s.state)
	wasRoused := s.state.Swap(awake) == roused
	switch {
	case errno == 0:
		return Woken, nil
	case wasRoused:
		return Roused, nil
	case errno == unix.EAGAIN:
		return Changed, nil
	case errno == unix.EINTR || errno == unix.ETIMEDOUT:
		return Roused, nil
	}
	return Roused, failed("wait", addr, errno)
}

// noWaitv is set once futex_waitv (Linux 5.16) was refused; filters may refuse
// it on new kernels too (P-K13).
var noWaitv atomic.Bool

// sleepBoth sleeps on both words, and returns 0 only if a wake of addr was
// used up: then that wake must not be reported as anything else.
func sleepBoth(addr *atomic.Uint32, val uint32, state *atomic.Uint32) unix.Errno {
	if !noWaitv.Load() {
		errno := sysWaitBoth(addr, val, state, asleep)
		if errno != unix.ENOSYS && errno != unix.EPERM {
			return errno
		}
		noWaitv.Store(true)
	}
	return sleepSliced(addr, val, state)
}

// sleepSliced is sleepBoth without futex_waitv: it sleeps on the shared word
// alone and looks at state every slice. A wake is still never lost, since the
// kernel says whether a timed wait was woken; only a Rouse comes late, by up to
// a slice.
func sleepSliced(addr *atomic.Uint32, val uint32, state *atomic.Uint32) unix.Errno {
	for state.Load() == asleep {
		errno := sysWaitFor(addr, val, slice)
		if errno != unix.ETIMEDOUT && errno != unix.EINTR {
			return errno
		}
	}
	return unix.ETIMEDOUT
}
