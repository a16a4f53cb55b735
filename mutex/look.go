package mutex

import (
	"sync/atomic"

	"interlock/internal/park"
	"interlock/internal/proc"
	"interlock/internal/robust"
)

// A looker looks at the word while a goroutine of this process sleeps on it.
// It repairs every loss that a death can cause and the kernel does not see to:
//
//	what happened                                       what it finds
//	unlocker killed between E-M5 and its wake (P-M1)     the word free
//	woken waiter killed before it took the word (P-M2)   the word free
//	the same, woken by an owner's death (P-M3)           an orphan
//	the same, and a third took the word by E-M1          held without WAITERS
//	owner dead, the kernel's walk did not get here       held by a dead process
//	(P-K1, P-K18, no robust lists)
//	a C peer's trylock kept a condemned mutex            held and condemned
type looker struct {
	m      *Mutex
	sleeps atomic.Bool // the waiter is to sleep whoever holds m: see queue
}

type snapshot struct {
	word       uint32
	prev, next uint64
}

// What the rounds before this one found is for the ticker alone: looks run one after
// the other.
var (
	round proc.Round
	seen  sightings
)

// sightings are the words of the round before and of this one. They are not the
// looker's, since who waits for a short time, again and again, has a new one each time.
type sightings struct {
	round        uint32
	before, here map[*Mutex]snapshot
}

// again reports whether m is as it was a round ago.
func (s *sightings) again(m *Mutex, now snapshot) bool {
	if r := park.Rounds(); r != s.round || s.here == nil {
		if s.before, s.here = s.here, s.before; r != s.round+1 {
			clear(s.before) // of a time when others waited
		}
		if clear(s.here); s.here == nil {
			s.here = make(map[*Mutex]snapshot)
		}
		s.round = r
	}
	s.here[m] = now
	last, ok := s.before[m]
	return ok && last == now
}

// look runs on the ticker.
func (l *looker) look() park.Finding {
	now := l.m.snapshot()
	again := seen.again(l.m, now)
	switch {
	case now.word&robust.TIDMask == 0, now.word&robust.OwnerDied != 0, l.m.owner.Load() == notRecoverable:
		return park.Rouse
	case isOurs(now.word) && l.sleeps.CompareAndSwap(false, true):
		return park.Rouse // INV-M7 has not helped so far
	case now.word&robust.Waiters == 0:
		return park.Rouse
	case !again && !proc.IsUnlinked(now.prev) && !park.Seldom():
		// The owner has lived since the last look, and to ask for it costs most of one.
		// (One whose death the kernel will not mark is asked for at once, and so is
		// everyone where the next look would be too late.)
		return park.Quiet
	}
	switch round.Judge(park.Rounds(), now.word&robust.TIDMask, now.prev, now.next) {
	case proc.Alive:
		return park.Quiet
	case proc.Unrecorded:
		if !again {
			return park.Quiet // the next look will find the same
		}
	}
	// E-M10: exactly the word that was judged. If it changed, so did the question.
	l.m.word.CompareAndSwap(now.word, robust.OwnerDied|now.word&robust.Waiters)
	return park.Rouse
}

// bury is E-M10 for who waits too short a time for a look, or not at all, as TryLock
// does: nobody of this process might look. Unless linked says so, it is only for owners
// whose death the kernel cannot mark. It reports whether m is an orphan by it.
func (m *Mutex) bury(linked bool) bool {
	s := m.snapshot()
	if s.word&robust.TIDMask == 0 || s.word&robust.OwnerDied != 0 || !linked && !proc.IsUnlinked(s.prev) {
		return false
	}
	return proc.Judge(s.word&robust.TIDMask, s.prev, s.next) == proc.Dead &&
		m.word.CompareAndSwap(s.word, robust.OwnerDied|s.word&robust.Waiters)
}

// snapshot reads the word and the identity that goes with it: if the word is
// the same before and after, no other owner came between.
func (m *Mutex) snapshot() snapshot {
	for range 100 { // a hostile peer may change the word for ever
		s := snapshot{m.word.Load(), m.prev.Load(), m.next.Load()}
		if m.word.Load() == s.word {
			return s
		}
	}
	return snapshot{}
}

// ownerGone reports whether nobody alive holds m. It reads only.
func (m *Mutex) ownerGone() bool {
	s := m.snapshot()
	if s.word&robust.TIDMask == 0 || s.word&robust.OwnerDied != 0 {
		return true
	}
	return proc.Judge(s.word&robust.TIDMask, s.prev, s.next) == proc.Dead
}

func (m *Mutex) ownerNow() (pid int, held bool) {
	s := m.snapshot()
	tid := s.word & robust.TIDMask
	switch {
	case s.word&robust.OwnerDied != 0:
		pid, _ = m.deceased()
		return pid, false
	case tid == 0:
		return 0, false
	case proc.PID(s.prev) != 0 && proc.TID(s.prev) == tid:
		return proc.PID(s.prev), true
	}
	return proc.ProcessOf(int(tid)), true
}
