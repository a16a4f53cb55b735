package scenario

import (
	"fmt"
	"slices"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/procfs"
	"interlock/stress/internal/report"
)

// stoppedArea is a mutex and a semaphore, of which processes are stopped and go on. The model:
//   - A stopped process is not dead, however long: what it holds it keeps. Nobody is killed
//     here, so each repair is a fault; and while the owner is stopped nothing that the mutex
//     guards may change.
//   - One that is stopped and does not own the mutex holds nobody up for long, even if it was
//     its turn. (There are more permits than the stopped can hold.)
//   - Who was stopped goes on: each of its lanes finishes something more.
type stoppedArea struct {
	M mutexArea
	_ [64]byte
	S semArea
}

const (
	// stopMost is how many are stopped at the same time. The first lane of each worker also
	// uses the semaphore.
	stopMost = 2

	// stopFor is how long a stop lasts: several looks of those who wait.
	stopFor = 150 * time.Millisecond

	// Who does not own the mutex holds the others up for no longer than it takes to look,
	// and for a CPU.
	stopAim   = 100 * time.Millisecond
	stopLimit = 10 * stopAim
)

func stoppedPlan() *Plan {
	var c *stopper
	return &Plan{
		Name:     "stopped",
		About:    "owners and waiters are stopped for several looks, and go on: none is taken for dead, nobody else waits for a waiter",
		Labels:   mutexLabels,
		Duration: 800 * time.Millisecond,
		Shape:    Shape{Procs: 4, Lanes: 4},
		Least:    Shape{Procs: 2, Lanes: 1},
		NoKills:  true,
		Area:     func(procs, lanes int) int { return arena.SizeOf[stoppedArea]() },
		Setup:    func(a *arena.Arena) { stoppedOf(a).S.setup(stopMost + 1) },
		Attach: func(w *Worker) (Body, error) {
			s := stoppedOf(w.Arena)
			s.M.Mu.OnOwnerDeath(func(pid int) error { return s.M.repair(w, pid) })
			return Body{Step: func(l *Lane) error {
				if l.ID%int(w.Arena.Lanes.Load()) == 0 && l.Rand.Uint32N(2) == 0 {
					return s.S.step(l)
				}
				return s.M.step(l)
			}}, nil
		},
		Conduct: func(st Stage) {
			c = &stopper{conductor: newConductor(unexcused{st}), s: stoppedOf(st.Arena())}
			c.conduct()
		},
		Check: func(a *arena.Arena, f *Findings) { c.check(a, f) },
		Words: func(a *arena.Arena) []Word {
			s := stoppedOf(a)
			return append(s.M.words(), s.S.words()...)
		},
	}
}

func stoppedOf(a *arena.Arena) *stoppedArea { return arena.At[stoppedArea](a.Scenario(), 0) }

// unexcused is a stage on which it is no excuse that somebody has been stopped: here others
// have to get on beside them.
type unexcused struct{ Stage }

func (unexcused) Slow() bool { return false }

// stopper stops and watches.
type stopper struct {
	*conductor
	s      *stoppedArea
	owners int           // stops of one that owned the mutex
	longer time.Duration // the longest that others needed to get on beside a stopped waiter
}

// conduct stops an owner, and one or two wherever they are, in turn, for as long as there is time.
func (c *stopper) conduct() {
	inside := []uint32{labelOpened, labelHalf, labelClosed}
	for i := 0; c.st.Sleep(0); i++ {
		first, label, many := c.st.Random(len(c.orders)), uint32(0), 1
		if i%2 == 0 {
			label = inside[c.st.Random(len(inside))]
		} else {
			many = 1 + c.st.Random(min(stopMost, len(c.orders)-1))
		}
		var slots []int
		for n := range many {
			slots = append(slots, (first+n)%len(c.orders))
		}
		if !c.round(slots, label) || !c.rest(10*time.Millisecond) {
			return
		}
	}
}

// round stops workers, looks on, and has them go on. False: the run is to end.
func (c *stopper) round(slots []int, label uint32) bool {
	for _, slot := range slots {
		if !c.st.Halt(slot, label) {
			c.st.Hang("worker %d cannot be stopped", slot)
			return false
		}
		defer c.st.Continue(slot)
	}
	if c.owned(slots) {
		c.owners++
		if !c.untouched() {
			return false
		}
	} else if !c.others(slots) {
		return false
	}
	before := c.counts()
	for _, slot := range slots {
		c.st.Continue(slot)
	}
	return c.until(fmt.Sprintf("workers %v were stopped, go on, and do not get on", slots), func() bool {
		return c.moved(before, slots)
	})
}

// owned says whether the mutex is owned by one of the stopped. It stays so: they do nothing.
func (c *stopper) owned(slots []int) bool {
	owner := int(arena.Word(&c.s.M.Mu, 0) & (1<<30 - 1))
	for _, slot := range slots {
		if slices.Contains(procfs.TIDs(c.st.PID(slot)), owner) {
			return true
		}
	}
	return false
}

// untouched looks on for as long as the owner is stopped: what it owns is not touched.
func (c *stopper) untouched() bool {
	word, sum := arena.Word(&c.s.M.Mu, 0)&(1<<30-1), c.a.Sum(recDone)
	for begin := time.Now(); time.Since(begin) < stopFor; {
		if w, s := arena.Word(&c.s.M.Mu, 0)&(1<<31-1), c.a.Sum(recDone); w != word || s != sum {
			c.a.Fault(-1, "stopped: the owner %d of the mutex was stopped; then its word was %#x, and what it guards was changed %d times", word, w, s-sum)
		}
		if !c.rest(time.Millisecond) {
			return false
		}
	}
	return true
}

// others waits until each lane of those that are not stopped has finished something more.
func (c *stopper) others(slots []int) bool {
	var rest []int
	for slot := range c.orders {
		if !slices.Contains(slots, slot) {
			rest = append(rest, slot)
		}
	}
	before, begin := c.counts(), time.Now()
	ok := c.until(fmt.Sprintf("workers %v are stopped and do not own the mutex, but the others do not get on", slots), func() bool {
		return c.moved(before, rest)
	})
	c.longer = max(c.longer, time.Since(begin))
	return ok && c.rest(max(0, stopFor-time.Since(begin)))
}

// counts are the operations of all lanes.
func (c *stopper) counts() (ops []uint64) {
	for id := range c.a.LaneCount() {
		ops = append(ops, c.a.LaneByID(id).Ops.Load())
	}
	return ops
}

// moved says whether every lane of some workers has finished more than before.
func (c *stopper) moved(before []uint64, slots []int) bool {
	lanes := int(c.a.Lanes.Load())
	for id, ops := range before {
		if slices.Contains(slots, id/lanes) && c.a.LaneByID(id).Ops.Load() == ops {
			return false
		}
	}
	return true
}

func (c *stopper) check(a *arena.Arena, f *Findings) {
	c.s.M.check(a, f)
	var permits Findings // its notes are of deaths, and there are none
	c.s.S.check(&permits)
	f.Faults = append(f.Faults, permits.Faults...)
	if n := c.s.M.Repairs.Load(); n > 0 {
		f.Faults = append(f.Faults, fmt.Sprintf("stopped: nobody was killed, and there were %d repairs", n))
	}
	if c.longer > stopLimit {
		f.Late = append(f.Late, fmt.Sprintf("stopped: beside stopped waiters the others needed %v to get on, more than ten times %v", c.longer, stopAim))
	}
	f.Notes = append(f.Notes, fmt.Sprintf("of owners %d taken for dead 0 others got on within %s", c.owners, report.Short(c.longer)))
	f.Metric("stops_of_owners", float64(c.owners))
	f.Metric("others_ns", float64(c.longer))
}
