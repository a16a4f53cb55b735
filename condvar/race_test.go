package condvar

import (
	"testing"

	"interlock/internal/race/racetest"
	"interlock/mutex"
)

// raceSeen is a scene as two goroutines see it: the same one, at one address or two.
func raceSeen(s *racetest.Stage) (a, b *scene) {
	a, b = racetest.At[scene](s.A, 0), racetest.At[scene](s.B, 0)
	for _, m := range []*mutex.Mutex{&a.m, &b.m} {
		m.Lock() // what is done once in a process, and for each mutex, is done
		m.Unlock()
	}
	return a, b
}

// wait waits once, having the mutex.
func (x *scene) wait() {
	x.m.Lock()
	x.c.Wait(&x.m)
	x.m.Unlock()
}

// calls are the ways to end a Wait.
var raceCalls = map[string]func(c *Cond){"Signal": (*Cond).Signal, "Broadcast": (*Cond).Broadcast}

// endedBy are the cases of a way to end a Wait. The one who calls never locks the
// mutex, so that only the call orders what is done.
func endedBy(how string) []racetest.Case {
	call := raceCalls[how]
	return []racetest.Case{
		{Name: how + ", written before it", Run: func(s *racetest.Stage) {
			a, b := raceSeen(s)
			s.AtOnce(
				func() { a.wait(); *s.Data = 2 },
				func() { s.AwaitSleepers(1); *s.Data = 1; call(&b.c) })
		}},
		{Name: how + ", written by another before it", Run: func(s *racetest.Stage) {
			a, b := raceSeen(s)
			s.AtOnce(
				func() { a.wait(); s.Await(2); *s.Data = 2 },
				func() { s.AwaitSleepers(1); *s.Data = 1; a.c.Signal(); s.Reach(1) },
				func() { s.Await(1); call(&b.c); s.Reach(2) }) // takes nothing away from the first
		}},
		{Name: how + ", written after it", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceSeen(s)
			s.AtOnce(
				func() { a.wait(); s.Await(1); *s.Data = 2 },
				func() { s.AwaitSleepers(1); call(&b.c); *s.Data = 1; s.Reach(1) })
		}},
		{Name: how + ", of another Cond", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceSeen(s)
			other := racetest.At[Cond](s.B, 2048)
			s.AtOnce(
				func() { a.wait(); *s.Data = 2 },
				func() { s.AwaitSleepers(1); *s.Data = 1; call(other); s.Reach(1) },
				func() { s.Await(1); b.c.Signal() })
		}},
		{Name: how + ", before a Wait that is cancelled", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceSeen(s)
			s.InTurn(
				func() { *s.Data = 1; call(&a.c) },
				func() {
					b.m.Lock()
					s.Must(b.c.WaitContext(s.Soon(), &b.m) != nil, "nobody signals")
					*s.Data = 2
					b.m.Unlock()
				})
		}},
		{Name: how + ", after a Wait that is cancelled", Report: true, Run: func(s *racetest.Stage) {
			a, b := raceSeen(s)
			s.InTurn(
				func() {
					b.m.Lock()
					s.Must(b.c.WaitContext(s.Soon(), &b.m) != nil, "nobody signals")
					b.m.Unlock()
					*s.Data = 1
				},
				func() { call(&a.c); *s.Data = 2 })
		}},
	}
}

var raceGuarded = []racetest.Case{
	{Name: "Wait, guarded by the mutex", Run: func(s *racetest.Stage) {
		a, b := raceSeen(s)
		s.AtOnce(
			func() {
				a.m.Lock()
				for *s.Data == 0 {
					a.c.Wait(&a.m)
				}
				*s.Data = 2
				a.m.Unlock()
			},
			func() { s.AwaitSleepers(1); b.m.Lock(); *s.Data = 1; b.m.Unlock(); b.c.Signal() })
	}},
	{Name: "Wait, that is cancelled, guarded by the mutex", Run: func(s *racetest.Stage) {
		a, b := raceSeen(s)
		s.AtOnce(
			func() {
				a.m.Lock()
				s.Must(a.c.WaitContext(s.Soon(), &a.m) != nil, "nobody signals")
				for *s.Data == 0 {
					a.m.Unlock()
					a.m.Lock()
				}
				a.m.Unlock()
			},
			func() { b.m.Lock(); *s.Data = 1; b.m.Unlock() })
	}},
}

var raceCases = append(append(raceGuarded, endedBy("Signal")...), endedBy("Broadcast")...)

func init() { racetest.Register(raceCases...) }

func TestTheRaceDetectorTellsTheTruth(t *testing.T) { racetest.Judge(t, raceCases...) } // T60, P-G4
