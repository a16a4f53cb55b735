package supervise

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/procfs"
	"interlock/stress/internal/scenario"
)

// stage is what a scenario's Conduct may see and do.
type stage struct {
	work   context.Context // ends when it is time to come to an end
	hard   context.Context // ends when the run is broken off
	crew   *crew
	faults *faults
	rand   *rand.Rand
	limit  time.Duration

	mu    sync.Mutex
	hangs []string
	lost  []string
}

var _ scenario.Stage = (*stage)(nil)

func newStage(work, hard context.Context, c *crew, f *faults, o Options) *stage {
	return &stage{work: work, hard: hard, crew: c, faults: f, rand: rand.New(rand.NewPCG(o.Seed, 0x7374616765)), limit: o.Hang}
}

func (s *stage) Arena() *arena.Arena        { return s.crew.arena }
func (s *stage) Sleep(d time.Duration) bool { return sleep(s.work, d) }
func (s *stage) Calm(on bool)               { s.faults.stay(on) }
func (s *stage) PID(slot int) int           { return s.crew.pid(slot) }
func (s *stage) Ready(slot int) bool        { return s.crew.ready(slot) }
func (s *stage) Kill(slot int, held bool)   { s.crew.kill(slot, held, "as the scenario wants it") }
func (s *stage) Expect(slot int)            { s.crew.expect(slot) }
func (s *stage) Random(n int) int           { return s.rand.IntN(n) }

// haltPatience is how long it may take until the last thread of a process has stopped.
const haltPatience = 10 * time.Second

// Halt stops a worker, and waits until it has.
func (s *stage) Halt(slot int, label uint32) bool {
	var at *snare
	if label != 0 {
		if at = s.crew.lay(slot, label); at != nil {
			await(s.hard, trapPatience, at)
			defer at.lift() // it stands still by the signal then
		}
	}
	h := s.crew.stop(slot, "as the scenario wants it")
	for limit := time.Now().Add(haltPatience); h != nil && time.Now().Before(limit); {
		if standsStill(h.proc.Pid) {
			return true
		}
		if !sleep(s.hard, 200*time.Microsecond) {
			break
		}
	}
	return false
}

// standsStill says that no thread of a process runs, or will.
func standsStill(pid int) bool {
	tids := procfs.TIDs(pid)
	for _, tid := range tids {
		if procfs.State(pid, tid) != "T" {
			return false
		}
	}
	return len(tids) > 0
}

// Continue has a worker go on.
func (s *stage) Continue(slot int) {
	if h := s.crew.hand(slot); h != nil {
		s.crew.resume(h)
	}
}

// Pause waits for every worker to be there and every lane to be parked: from
// then until Resume the memory stands still.
func (s *stage) Pause() bool {
	s.faults.hold(true)
	a := s.crew.arena
	a.Phase.Store(arena.PhasePause)
	for !s.parked() {
		if !sleep(s.hard, 200*time.Microsecond) {
			return false
		}
	}
	return true
}

func (s *stage) parked() bool {
	if !s.crew.allReady() {
		return false
	}
	a := s.crew.arena
	for id := range a.LaneCount() {
		if a.LaneByID(id).Label.Load() != scenario.LabelParked {
			return false
		}
	}
	return true
}

func (s *stage) Resume() {
	s.crew.arena.Phase.CompareAndSwap(arena.PhasePause, arena.PhaseRun)
	s.faults.hold(false)
}

func (s *stage) Over() bool              { return s.hard.Err() != nil }
func (s *stage) Patience() time.Duration { return s.limit }
func (s *stage) Slow() bool              { return s.crew.slow() }

func (s *stage) Lost(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = append(s.lost, fmt.Sprintf(format, args...))
}

func (s *stage) Hang(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangs = append(s.hangs, fmt.Sprintf(format, args...))
}

// seen are the hangs, and the lost wake-ups that a look made up for, that the
// scenario has seen.
func (s *stage) seen() (hangs, lost []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.hangs...), append([]string(nil), s.lost...)
}
