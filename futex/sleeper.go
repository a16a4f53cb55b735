package futex

import (
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A Sleeper is one goroutine's place to sleep on shared words such that its
// own process can rouse it too, without spending a wake of those words: to
// cancel the wait, or to make it look again. The zero value is ready. It must
// live on the Go heap, and one goroutine at a time may sleep in it.
type Sleeper struct {
	state atomic.Uint32 // a futex word that only this process sees
	tid   atomic.Int32  // the thread asleep without futex_waitv, else 0; see sliced.go
}

// States of a Sleeper.
//
//	awake  -> asleep   lieDown, before the system call
//	any    -> roused   Rouse
//	any    -> awake    getUp, before the sleep returns
const (
	awake uint32 = iota
	asleep
	roused
)

// Why a sleep ended.
type Why int

const (
	Woken   Why = iota // a wake sent to the word was used up
	Changed            // the word did not hold the expected value
	Roused             // Rouse was called, before or during the sleep
	Expired            // the limit is over
)

// Rouse ends the sleep under way, or the next one at once. It never blocks, and
// is one atomic exchange when nobody sleeps. The sleeper returns as soon as it
// gets a CPU, also where futex_waitv is refused: there by a SIGURG to its
// thread, which Go programs receive anyway, from the runtime (a program that
// calls signal.Ignore for it is roused up to 10 ms late).
func (s *Sleeper) Rouse() {
	if s.state.Swap(roused) == asleep {
		sysWakePrivate(&s.state)
		s.poke()
	}
}

// Sleep blocks while *addr is val and nobody wakes the word or rouses s.
//
// A Rouse that comes after the kernel let go of the sleeper and before Sleep
// returns counts as this sleep's: the caller must look at everything that
// might have made someone rouse it after each return. A wake that comes
// together with a Rouse is reported as Woken.
//
// Errors are those of Wait. Signals end no sleep.
func (s *Sleeper) Sleep(addr *atomic.Uint32, val uint32) (Why, error) {
	return s.sleep(addr, val, forever)
}

// SleepFor is Sleep that also ends, with Expired, once limit has passed on
// CLOCK_MONOTONIC, and never before. With a limit of zero or less it does not
// block, and returns Expired if nothing else is to be reported: a Rouse, another
// value, an address that is no word. A wake is reported as Woken even when the
// limit has passed as well.
func (s *Sleeper) SleepFor(addr *atomic.Uint32, val uint32, limit time.Duration) (Why, error) {
	until, errno := deadline(limit)
	if errno != 0 {
		return Roused, failed("clock for a wait", addr, errno)
	}
	return s.sleep(addr, val, until)
}

// forever is the deadline of a sleep without limit.
const forever int64 = 1<<63 - 1

// deadline is limit from now, in nanoseconds of CLOCK_MONOTONIC.
func deadline(limit time.Duration) (int64, unix.Errno) {
	if limit == math.MaxInt64 { // as most do: one system call less
		return forever, 0
	}
	now, errno := sysNow()
	if d := max(0, int64(limit)); d < forever-now {
		return now + d, errno
	}
	return forever, errno
}

func (s *Sleeper) sleep(addr *atomic.Uint32, val uint32, until int64) (Why, error) {
	if !s.lieDown() {
		return Roused, nil
	}
	why, errno := s.getUp(s.sleepBoth(addr, val, until))
	if errno != 0 {
		return why, failed("wait", addr, errno)
	}
	return why, nil
}

// lieDown makes s ready to sleep, unless a Rouse came first.
func (s *Sleeper) lieDown() bool {
	if s.state.CompareAndSwap(awake, asleep) {
		return true
	}
	s.state.Store(awake)
	return false
}

// getUp ends what lieDown began and tells why. errno 0 says that a wake was used
// up: then that must not be reported as anything else.
func (s *Sleeper) getUp(errno unix.Errno) (Why, unix.Errno) {
	wasRoused := s.state.Swap(awake) == roused
	switch {
	case errno == 0:
		return Woken, 0
	case wasRoused:
		return Roused, 0
	case errno == unix.EAGAIN:
		return Changed, 0
	case errno == unix.ETIMEDOUT:
		return Expired, 0
	}
	return Roused, errno
}

// sleepBoth sleeps on addr and on s's own word. It returns 0 only if a wake of
// addr was used up, and ECANCELED only after a Rouse.
func (s *Sleeper) sleepBoth(addr *atomic.Uint32, val uint32, until int64) unix.Errno {
	if HasWaitv() {
		v := [2]waitv{1: onShared(addr, val)}
		_, errno := s.sleepVector(v[:], until)
		runtime.KeepAlive(addr)
		if errno != unix.ENOSYS {
			return errno
		}
	}
	return s.sleepSliced(addr, val, until)
}
