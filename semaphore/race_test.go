package semaphore

import (
	"context"
	"testing"

	"interlock/internal/race/racetest"
)

// raceSeen is a semaphore as two goroutines see it: the same one, at one address or two.
func raceSeen(s *racetest.Stage, permits uint32) (a, b *Semaphore) {
	a, b = racetest.At[Semaphore](s.A, 0), racetest.At[Semaphore](s.B, 0)
	a.Init(permits)
	return a, b
}

// The ways to get a permit, and to get none, which orders nothing.
var (
	raceTakes = map[string]func(s *racetest.Stage, x *Semaphore){
		"Acquire":    func(s *racetest.Stage, x *Semaphore) { s.Check(x.Acquire(context.Background())) },
		"TryAcquire": func(s *racetest.Stage, x *Semaphore) { s.Must(x.TryAcquire(), "there is a permit") },
	}
	raceMisses = map[string]func(s *racetest.Stage, x *Semaphore){
		"Acquire":    func(s *racetest.Stage, x *Semaphore) { s.Must(x.Acquire(s.Soon()) != nil, "there is no permit") },
		"TryAcquire": func(s *racetest.Stage, x *Semaphore) { s.Must(!x.TryAcquire(), "there is no permit") },
	}
)

// takenBy are the cases of a way to acquire.
func takenBy(how string) []racetest.Case {
	take, miss := raceTakes[how], raceMisses[how]
	return []racetest.Case{
		{Name: how + ", guarded", Run: func(s *racetest.Stage) {
			a, b := raceSeen(s, 1)
			s.InTurn(
				func() { take(s, a); *s.Data = 1; s.Check(a.Release()) },
				func() { take(s, b); *s.Data = 2; s.Check(b.Release()) },
				func() { take(s, a); *s.Data = 3; s.Check(a.Release()) })
		}},
		{Name: how + ", handed over", Run: func(s *racetest.Stage) {
			a, b := raceSeen(s, 0)
			s.InTurn(
				func() { *s.Data = 1; s.Check(a.Release()) },
				func() { s.Check(b.Release()) }, // takes nothing away from the first
				func() { take(s, b); *s.Data = 2 })
		}},
		{Name: how + ", written after the release", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceSeen(s, 0)
			s.InTurn(
				func() { s.Check(a.Release()); *s.Data = 1 },
				func() { take(s, b); *s.Data = 2 })
		}},
		{Name: how + ", two permits", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceSeen(s, 2)
			s.InTurn(
				func() { take(s, a); *s.Data = 1 },
				func() { take(s, b); *s.Data = 2 })
		}},
		{Name: how + ", two permits, written before", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceSeen(s, 2)
			s.InTurn(
				func() { *s.Data = 1; take(s, a) },
				func() { take(s, b); *s.Data = 2 })
		}},
		{Name: how + ", another semaphore's permit", Report: true, Run: func(s *racetest.Stage) {
			a, _ := raceSeen(s, 0)
			other := racetest.At[Semaphore](s.B, 32)
			other.Init(1)
			s.InTurn(
				func() { *s.Data = 1; s.Check(a.Release()) },
				func() { take(s, other); *s.Data = 2 })
		}},
		{Name: how + ", a failed one acquires nothing", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceSeen(s, 0)
			s.InTurn(
				func() { *s.Data = 1; s.Check(a.Release()) },
				func() { take(s, a) },
				func() { miss(s, b); *s.Data = 2 })
		}},
		{Name: how + ", a failed one releases nothing", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceSeen(s, 0)
			s.InTurn(
				func() { *s.Data = 1; miss(s, a) },
				func() { s.Check(a.Release()) },
				func() { take(s, b); *s.Data = 2 })
		}},
		{Name: how + ", a failed release orders nothing", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceSeen(s, MaxValue)
			s.InTurn(
				func() { *s.Data = 1; s.Must(a.Release() != nil, "there is no room for a permit") },
				func() { take(s, b); *s.Data = 2 })
		}},
	}
}

var raceWaits = []racetest.Case{
	{Name: "Acquire, handed over, having waited", Run: func(s *racetest.Stage) {
		a, b := raceSeen(s, 0)
		s.AtOnce(
			func() { s.AwaitSleepers(1); *s.Data = 1; s.Check(a.Release()) },
			func() { s.Check(b.Acquire(context.Background())); *s.Data = 2 })
	}},
	{Name: "Acquire, having waited, written after the release", Report: true, Run: func(s *racetest.Stage) {
		a, b := raceSeen(s, 0)
		s.AtOnce(
			func() { s.AwaitSleepers(1); s.Check(a.Release()); *s.Data = 1; s.Reach(1) },
			func() { s.Check(b.Acquire(context.Background())); s.Await(1); *s.Data = 2 })
	}},
	{Name: "TryAcquire, two that fail", Report: true, Run: func(s *racetest.Stage) {
		a, b := raceSeen(s, 0)
		s.InTurn(
			func() { *s.Data = 1; s.Must(!a.TryAcquire(), "there is no permit") },
			func() { s.Must(!b.TryAcquire(), "there is no permit"); *s.Data = 2 })
	}},
}

var raceCases = append(append(raceWaits, takenBy("Acquire")...), takenBy("TryAcquire")...)

func init() { racetest.Register(raceCases...) }

func TestTheRaceDetectorTellsTheTruth(t *testing.T) { racetest.Judge(t, raceCases...) } // T60, P-G4
