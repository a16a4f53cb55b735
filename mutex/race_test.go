package mutex

import (
	"context"
	"runtime"
	"testing"

	"interlock/internal/park"
	"interlock/internal/race/racetest"
	"interlock/internal/robust"
)

// racePair is a mutex as two goroutines see it: the same one, at one address or two.
func racePair(s *racetest.Stage) (a, b *Mutex) {
	return racetest.At[Mutex](s.A, 0), racetest.At[Mutex](s.B, 0)
}

// raceWarm uses the mutex once, so that what the library does once in a process, or
// once for each mutex, does not order the goroutines.
func raceWarm(s *racetest.Stage) (a, b *Mutex) {
	a, b = racePair(s)
	for _, m := range []*Mutex{a, b} {
		m.Lock()
		_ = m.TryLock()
		m.Unlock()
	}
	return a, b
}

// The ways to lock.
var raceLocks = map[string]func(s *racetest.Stage, m *Mutex){
	"Lock":        func(_ *racetest.Stage, m *Mutex) { m.Lock() },
	"TryLock":     func(s *racetest.Stage, m *Mutex) { s.Must(m.TryLock(), "TryLock takes a free mutex") },
	"LockContext": func(s *racetest.Stage, m *Mutex) { s.Check(m.LockContext(context.Background())) },
}

// The ways to fail, which order nothing.
var raceRefusals = map[string]func(s *racetest.Stage, m *Mutex){
	"TryLock":     func(s *racetest.Stage, m *Mutex) { s.Must(!m.TryLock(), "TryLock fails") },
	"LockContext": func(s *racetest.Stage, m *Mutex) { s.Must(m.LockContext(s.Soon()) != nil, "LockContext fails") },
}

// guardedBy are the cases of a way to lock.
func guardedBy(how string) []racetest.Case {
	lock := raceLocks[how]
	return []racetest.Case{
		{Name: how + ", guarded", Run: func(s *racetest.Stage) {
			a, b := racePair(s)
			s.InTurn(
				func() { lock(s, a); *s.Data = 1; a.Unlock() },
				func() { lock(s, b); *s.Data = 2; b.Unlock() },
				func() { lock(s, a); *s.Data = 3; a.Unlock() })
		}},
		{Name: how + ", written after the unlock", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceWarm(s)
			s.InTurn(
				func() { lock(s, a); a.Unlock(); *s.Data = 1 },
				func() { lock(s, b); *s.Data = 2; b.Unlock() })
		}},
		{Name: how + ", written before the lock", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceWarm(s)
			s.InTurn(
				func() { lock(s, a); *s.Data = 1; a.Unlock() },
				func() { *s.Data = 2; lock(s, b); b.Unlock() })
		}},
		{Name: how + ", guarded by another mutex", Report: true, Run: func(s *racetest.Stage) {
			a, _ := raceWarm(s)
			other := racetest.At[Mutex](s.B, 64)
			s.InTurn(
				func() { lock(s, other); other.Unlock() }, // the first use of it
				func() { lock(s, a); *s.Data = 1; a.Unlock() },
				func() { lock(s, other); *s.Data = 2; other.Unlock() })
		}},
	}
}

// refusedBy are the cases of a call that fails: beside one that succeeds, nothing
// that it may not do orders the two.
func refusedBy(how string) []racetest.Case {
	refuse := raceRefusals[how]
	return []racetest.Case{
		{Name: how + ", a failed one acquires nothing", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceWarm(s)
			s.InTurn(
				func() { a.Lock(); *s.Data = 1; a.Unlock() },
				func() { a.Lock() },
				func() { refuse(s, b); *s.Data = 2 })
		}},
		{Name: how + ", a failed one releases nothing", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceWarm(s)
			s.InTurn(
				func() { a.Lock() },
				func() { *s.Data = 1; refuse(s, b) },
				func() { a.Unlock() },
				func() { a.Lock(); *s.Data = 2; a.Unlock() })
		}},
	}
}

// raceQueued waits until somebody waits for the mutex, asleep or listening.
func raceQueued(m *Mutex) {
	for park.Waiters(&m.word) == 0 {
		runtime.Gosched()
	}
}

var raceWaits = []racetest.Case{
	{Name: "Lock, guarded, having waited", Run: func(s *racetest.Stage) {
		a, b := racePair(s)
		s.AtOnce(
			func() { a.Lock(); s.Reach(1); raceQueued(b); *s.Data = 1; a.Unlock() },
			func() { s.Await(1); b.Lock(); *s.Data = 2; b.Unlock() })
	}},
	{Name: "Lock, having waited, written after the unlock", Report: true, Run: func(s *racetest.Stage) {
		a, b := raceWarm(s)
		s.AtOnce(
			func() {
				a.Lock()
				s.Reach(1)
				raceQueued(b)
				a.Unlock()
				*s.Data = 1
				s.Reach(2)
			},
			func() { s.Await(1); b.Lock(); s.Await(2); *s.Data = 2; b.Unlock() })
	}},
	{Name: "LockContext, one that is done before releases nothing", Report: true, Run: func(s *racetest.Stage) {
		a, b := raceWarm(s)
		done, cancel := context.WithCancel(context.Background())
		cancel()
		s.InTurn(
			func() { *s.Data = 1; s.Must(a.LockContext(done) != nil, "it fails") },
			func() { b.Lock(); *s.Data = 2; b.Unlock() })
	}},
	{Name: "LockContext, an orphan that is refused releases nothing", Report: true, Run: func(s *racetest.Stage) {
		a, b := raceWarm(s)
		a.word.Store(robust.OwnerDied)
		s.InTurn(
			func() { *s.Data = 1; s.Must(a.LockContext(context.Background()) != nil, "nobody repairs it") },
			func() { a.word.Store(0) },
			func() { b.Lock(); *s.Data = 2; b.Unlock() })
	}},
	{Name: "TryLock, two that fail", Report: true, Run: func(s *racetest.Stage) {
		a, b := raceWarm(s)
		s.InTurn(
			func() { a.Lock() },
			func() { *s.Data = 1; s.Must(!a.TryLock(), "it fails") },
			func() { s.Must(!b.TryLock(), "it fails"); *s.Data = 2 })
	}},
}

var raceCases = append(append(append(append(append(raceWaits,
	guardedBy("Lock")...), guardedBy("TryLock")...), guardedBy("LockContext")...),
	refusedBy("TryLock")...), refusedBy("LockContext")...)

func init() { racetest.Register(raceCases...) }

func TestTheRaceDetectorTellsTheTruth(t *testing.T) { racetest.Judge(t, raceCases...) } // T60, P-G4
