package futex

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// MaxAny is how many words one SleepAny can sleep on: the kernel takes 128, and
// the Sleeper's own is one of them.
const MaxAny = 127

// Expect is a word, and the value it must hold for anyone to sleep on it.
type Expect struct {
	Addr *atomic.Uint32
	Val  uint32
}

// SleepAny is Sleep on up to MaxAny words at once, in one thread: it blocks while
// each word holds its value and nobody wakes any of them or rouses s.
//
//   - Woken: a wake of words[i] was used up. If several words were woken at once,
//     the kernel tells only the last of them (P-K17), and the wakes of the others
//     are used up too: look at all words, and pass on the wake of a word that
//     nobody waits for any more.
//   - Changed: some word did not hold its value, and no wake was used up. Which
//     one is not known.
//   - Roused: as for Sleep.
//
// i is -1 unless Woken. A word that stands in the list twice may use up two
// wakes. Nothing is allocated.
//
// Where futex_waitv is refused (see HasWaitv) it returns an error that is
// unix.ENOSYS for errors.Is, without sleeping. Other errors: unix.EINVAL for more
// than MaxAny words or an address that is not a multiple of four; unix.EFAULT if
// some word is not mapped. Check tells which word it is.
func (s *Sleeper) SleepAny(words []Expect) (i int, why Why, err error) {
	if len(words) > MaxAny {
		return -1, Roused, fmt.Errorf("futex: wait for any of %d words: %w: more than %d", len(words), unix.EINVAL, MaxAny)
	}
	if !HasWaitv() {
		return -1, Roused, failedAny(words, unix.ENOSYS)
	}
	if !s.lieDown() {
		return -1, Roused, nil
	}
	var v [1 + MaxAny]waitv
	for n, w := range words {
		v[1+n] = onShared(w.Addr, w.Val)
	}
	i, errno := s.sleepVector(v[:1+len(words)], forever)
	runtime.KeepAlive(words)
	why, errno = s.getUp(errno)
	switch {
	case errno != 0:
		return -1, why, failedAny(words, errno)
	case why != Woken:
		return -1, why, nil
	}
	return i - 1, Woken, nil
}

func failedAny(words []Expect, errno unix.Errno) error {
	return fmt.Errorf("futex: wait for any of %d words: %w%s", len(words), errno, hint(errno))
}

// sleepVector sleeps on the words of v, of which the first becomes s's own. It
// returns the index of a word of which a wake was used up, or why there is none:
// ECANCELED after a Rouse, ENOSYS if futex_waitv is refused.
//
// The order matters: of several woken words the kernel reports the last, so with
// s's own in front a wake of another is never hidden behind a Rouse (P-K17).
func (s *Sleeper) sleepVector(v []waitv, until int64) (i int, errno unix.Errno) {
	for s.state.Load() == asleep {
		i, errno := sysWaitv(v, &s.state, asleep, until)
		switch {
		case errno == unix.ENOSYS || errno == unix.EPERM:
			noWaitv.Store(true)
			return 0, unix.ENOSYS
		case errno == unix.EINTR, errno == 0 && i == 0:
			// A signal, or a Rouse; the latter perhaps meant for an earlier sleep.
		default:
			return i, errno
		}
	}
	return 0, unix.ECANCELED
}

// noWaitv is set once futex_waitv (Linux 5.16) was refused; filters may refuse
// it on new kernels too, and may be set up at any time (P-K13).
var (
	noWaitv    atomic.Bool
	probeWaitv sync.Once
)

// HasWaitv reports whether SleepAny works here: futex_waitv is there and no filter
// has refused it so far. It asks the kernel once. Everything else works without.
func HasWaitv() bool {
	probeWaitv.Do(func() {
		// Anything else comes from a kernel that does not know the call, or is what
		// a filter was told to say.
		if sysProbeWaitv() != unix.EINVAL {
			noWaitv.Store(true)
		}
	})
	return !noWaitv.Load()
}
