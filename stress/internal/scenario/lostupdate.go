package scenario

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/arena"
)

// lostUpdateArea is one counter and nothing that guards it.
type lostUpdateArea struct {
	Counter atomic.Uint64
}

// lostUpdateBatch is how many increments make one operation, so that the
// harness's own words do not slow down the race.
const lostUpdateBatch = 256

// On a machine that others use too, the workers may by chance never run at the
// same time. So one of this many increments gives way in the window, which is
// what the kernel may do to any of them; with one CPU, each.
const lostUpdateYield = 16384

// lostUpdate is the control: without a lock the count must come out wrong. A
// machine on which it does not cannot show that the others hold.
func lostUpdate() *Plan {
	oneCPU := runtime.NumCPU() == 1
	return &Plan{
		Name:     "lost-update",
		About:    "the control: load, add, store without a lock (a yield in between now and then); passes only if updates are lost",
		Duration: 300 * time.Millisecond,
		Shape:    Shape{Procs: 2, Lanes: 1},
		Least:    Shape{Procs: 2, Lanes: 1},
		NoKills:  true, // a killed worker would lose counts too, and blur what is shown
		Area:     func(procs, lanes int) int { return arena.SizeOf[lostUpdateArea]() },
		Attach: func(w *Worker) (Body, error) {
			area := arena.At[lostUpdateArea](w.Arena.Scenario(), 0)
			return Body{Step: func(l *Lane) error {
				for i := range uint64(lostUpdateBatch) {
					v := area.Counter.Load()
					if oneCPU || (l.Rec[0].Load()+i)%lostUpdateYield == 0 {
						schedYield()
					}
					area.Counter.Store(v + 1)
				}
				l.Rec[0].Add(lostUpdateBatch)
				l.Ops.Add(lostUpdateBatch)
				return nil
			}}, nil
		},
		Check: func(a *arena.Arena, f *Findings) {
			area := arena.At[lostUpdateArea](a.Scenario(), 0)
			expected, got := a.Sum(0), area.Counter.Load()
			lost := 100 * (1 - float64(got)/float64(max(expected, 1)))
			f.Metric("expected", float64(expected))
			f.Metric("got", float64(got))
			f.Notes = append(f.Notes, fmt.Sprintf("expected %d got %d lost %.1f%%", expected, got, lost))
			if oneCPU {
				f.Notes = append(f.Notes, "(one CPU: yields in the window)")
			}
			if got == expected {
				f.Faults = append(f.Faults, fmt.Sprintf("the count is right (%d) although nothing guards it: "+
					"this machine or this run cannot show a race, so the other scenarios prove nothing here", got))
			}
		},
	}
}

func schedYield() { unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
