package futex

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Sleeping without futex_waitv (P-K13): on the shared word alone. What ends it
// besides a wake is a signal.
//
// No wake is lost or misreported by that. The kernel takes a sleeper whose wait
// is interrupted, or timed out, off the word's queue first. If a wake had been
// there before, the sleeper is no longer queued, and the call returns 0 in spite
// of the signal; else it returns EINTR or ETIMEDOUT, and no later wake can have
// counted it. So 0 means, exactly, that a wake was used up.
//
// No rouse is lost either: the sleeper publishes its thread before it looks at
// its state, and Rouse changes the state before it looks for a thread. One of
// them sees the other. What remains is a signal that arrives after the sleeper
// looked and before the kernel has queued it: it interrupts nothing. That
// window, usually below a microsecond, cannot be closed from Go: futex takes no
// signal mask, as ppoll does. So Rouse sends the signal again after pokeAgain,
// until the sleeper has seen the rouse; and the slices end the wait where
// signals do not, because the program ignores SIGURG.
//
// SIGURG is what Go's runtime itself interrupts threads with, so every Go program
// has the handler and tolerates one too many. It may come too late: then the
// thread runs other Go code; or is gone, and its number belongs to another thread
// of this process, which ignores it likewise, or to none: tgkill names the
// process too, and never hits a stranger.
const (
	slice     = 10 * time.Millisecond
	pokeAgain = time.Millisecond
)

// sleepSliced is sleepBoth without futex_waitv.
func (s *Sleeper) sleepSliced(addr *atomic.Uint32, val uint32, until int64) unix.Errno {
	runtime.LockOSThread() // the look at the state and the wait belong on the thread that is poked
	defer runtime.UnlockOSThread()
	s.tid.Store(int32(unix.Gettid()))
	defer s.tid.Store(0)
	for s.state.Load() == asleep {
		now, errno := sysNow()
		if errno != 0 {
			return errno
		}
		end := min(until, now+int64(slice))
		errno = sysWaitUntil(addr, val, end)
		if errno == unix.EINTR || errno == unix.ETIMEDOUT && end < until {
			continue // a signal, from Rouse or not (P-G6), or the end of a slice
		}
		return errno
	}
	return unix.ECANCELED
}

// poke interrupts the thread that sleeps without futex_waitv in spite of a rouse,
// and comes back until there is none.
func (s *Sleeper) poke() {
	tid := s.tid.Load()
	if tid == 0 || s.state.Load() != roused {
		return
	}
	_ = unix.Tgkill(unix.Getpid(), int(tid), unix.SIGURG) // refused or gone: there are the slices
	time.AfterFunc(pokeAgain, s.poke)
}
