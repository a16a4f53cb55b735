package mutex

import (
	"errors"
	"testing"

	"interlock/internal/race/racetest"
	"interlock/internal/robust"
)

var errRaceRepair = errors.New("more is broken")

// raceDie leaves the mutex as a process does that dies holding it.
func raceDie(m *Mutex) { m.word.Store(robust.OwnerDied) }

// What a repair touches is guarded too: repairs run holding the mutex.
var raceRepairCases = []racetest.Case{
	{Name: "a repair after an unlock, guarded", Run: func(s *racetest.Stage) {
		a, b := raceWarm(s)
		b.OnOwnerDeath(func(int) error { *s.Data = 2; return nil })
		s.InTurn(
			func() { a.Lock(); *s.Data = 1; a.Unlock() },
			func() { raceDie(a) },
			func() { b.Lock(); b.Unlock() })
	}},
	{Name: "a repair that fails, guarded", Run: func(s *racetest.Stage) {
		a, b := raceWarm(s)
		a.OnOwnerDeath(func(int) error { *s.Data++; return errRaceRepair })
		b.OnOwnerDeath(func(int) error { *s.Data++; return errRaceRepair })
		raceDie(a)
		s.InTurn(
			func() { s.Must(a.LockContext(s.Soon()) != nil, "the repair fails") },
			func() { s.Must(b.LockContext(s.Soon()) != nil, "the repair fails") })
	}},
	{Name: "a repair, written after the unlock", Report: true, Run: func(s *racetest.Stage) {
		a, b := raceWarm(s)
		b.OnOwnerDeath(func(int) error { *s.Data = 2; return nil })
		s.InTurn(
			func() { a.Lock(); a.Unlock(); *s.Data = 1 },
			func() { raceDie(a) },
			func() { b.Lock(); b.Unlock() })
	}},
	{Name: "an Unlock that panics takes no order away", Run: func(s *racetest.Stage) {
		a, b := raceWarm(s)
		s.InTurn(
			func() { a.Lock(); *s.Data = 1; a.Unlock() },
			func() { s.Must(panicked(b.Unlock) != nil, "nobody holds it") },
			func() { a.Lock(); *s.Data = 2; a.Unlock() })
	}},
	{Name: "an Unlock that panics releases nothing", Report: true, Run: func(s *racetest.Stage) {
		a, b := raceWarm(s)
		s.InTurn(
			func() { *s.Data = 1; s.Must(panicked(b.Unlock) != nil, "nobody holds it") },
			func() { a.Lock(); *s.Data = 2; a.Unlock() })
	}},
}

func init() { racetest.Register(raceRepairCases...) }

func TestTheRaceDetectorAndRepairs(t *testing.T) { racetest.Judge(t, raceRepairCases...) } // T60
