package scenario

import (
	"fmt"
	"runtime"
	"slices"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/report"
)

// crowdedArea is one mutex and one semaphore for many more processes than there are CPUs: who
// holds the one or is to have the other has no CPU most of the time. The counts must be exact
// under kills, and in each stretch without kills every process must get on.
type crowdedArea struct {
	M mutexArea
	_ [64]byte
	S semArea
}

// crowdedProcs is how many processes there are for each CPU, but not more than mostCrowded.
const (
	crowdedProcs = 16
	mostCrowded  = 64
)

func oversubscribedPlan() *Plan {
	held := []uint32{labelOpened, labelHalf, labelClosed}
	var slowest time.Duration
	return &Plan{
		Name:      "oversubscribed",
		About:     "16 processes for each CPU share a mutex and a semaphore and are killed: exact counts, and every one gets on",
		Labels:    mutexLabels,
		Duration:  time.Second,
		Shape:     Shape{Procs: min(crowdedProcs*runtime.NumCPU(), mostCrowded), Lanes: 1},
		Least:     Shape{Procs: 2, Lanes: 1},
		MostKills: 20, // each replacement waits for a CPU, too
		Traps:     held,
		Held:      held,
		Marks:     []string{"E-M", "E-S"},
		Area:      func(procs, lanes int) int { return arena.SizeOf[crowdedArea]() },
		Setup:     func(a *arena.Arena) { crowdedOf(a).S.setup(max(a.LaneCount()/4, 1)) },
		Attach: func(w *Worker) (Body, error) {
			c := crowdedOf(w.Arena)
			c.M.Mu.OnOwnerDeath(func(pid int) error { return c.M.repair(w, pid) })
			return Body{Step: func(l *Lane) error {
				if l.Rand.Uint32N(2) == 0 {
					return c.S.step(l)
				}
				return c.M.step(l)
			}}, nil
		},
		Conduct: func(st Stage) { slowest = conductCrowded(st) },
		Settle:  func(a *arena.Arena, slot int) { crowdedOf(a).S.settle(a, slot) },
		Check:   func(a *arena.Arena, f *Findings) { checkCrowded(a, slowest, f) },
		Words: func(a *arena.Arena) []Word {
			c := crowdedOf(a)
			return append(c.M.words(), c.S.words()...)
		},
	}
}

func crowdedOf(a *arena.Arena) *crowdedArea { return arena.At[crowdedArea](a.Scenario(), 0) }

// conductCrowded recounts the permits at rest after each stretch. Every other one is free of
// kills, and lasts until each worker has finished something: the longest of these is returned.
func conductCrowded(st Stage) (slowest time.Duration) {
	c, s := newConductor(st), crowdedOf(st.Arena())
	for calm := true; ; calm = !calm {
		st.Calm(calm)
		if calm {
			begin, before := time.Now(), Shares(c.a)
			if !c.until("a worker does not get on, and nobody is killed", func() bool { return allMoved(before, Shares(c.a)) }) {
				return slowest
			}
			slowest = max(slowest, time.Since(begin))
		}
		more := st.Sleep(semEpoch)
		if !st.Pause() {
			return slowest
		}
		s.S.recount(c.a)
		st.Resume()
		if !more {
			return slowest
		}
	}
}

// Shares are the operations that each worker, with those before it in its slot, has finished.
func Shares(a *arena.Arena) []uint64 {
	ops := make([]uint64, a.Procs.Load())
	for i := range ops {
		for j := range int(a.Lanes.Load()) {
			ops[i] += a.Lane(i, j).Ops.Load()
		}
	}
	return ops
}

func allMoved(before, now []uint64) bool {
	for i := range before {
		if now[i] == before[i] {
			return false
		}
	}
	return true
}

func checkCrowded(a *arena.Arena, slowest time.Duration, f *Findings) {
	c := crowdedOf(a)
	c.M.check(a, f)
	var permits Findings // its notes are the semaphore's
	c.S.check(&permits)
	f.Faults = append(f.Faults, permits.Faults...)
	ops := Shares(a)
	for i, n := range ops {
		if n == 0 {
			f.Faults = append(f.Faults, fmt.Sprintf("oversubscribed: worker %d has finished nothing", i))
		}
	}
	mean := float64(a.Ops()) / float64(len(ops))
	f.Notes = append(f.Notes, fmt.Sprintf("permits restored %d fairness %.2f least %.0f%% most %.0f%% of a fair share, all got on within %s",
		c.S.Lost.Load(), Jain(ops), 100*float64(slices.Min(ops))/mean, 100*float64(slices.Max(ops))/mean, report.Short(slowest)))
	f.Metric("slowest_ns", float64(slowest))
}

// Jain is Jain's index: 1 when all have the same, 1/n when one has all.
func Jain(ops []uint64) float64 {
	var sum, squares float64
	for _, n := range ops {
		sum, squares = sum+float64(n), squares+float64(n)*float64(n)
	}
	if squares == 0 {
		return 1
	}
	return sum * sum / (float64(len(ops)) * squares)
}
