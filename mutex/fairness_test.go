// What holds for the turns that the waiters of a mutex get (T87):
//   - two processes with a thousand goroutines each share it: in a steady state
//     neither has less than 40 % of the other's turns, and each goroutine has some;
//   - a newcomer overtakes a waiter of its own process only while that has waited
//     less than a millisecond: one that locks in a loop starves nobody, with one P
//     neither.
//
// In which order the waiters of one process are served: order_test.go.
package mutex

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"interlock/internal/park"
	"interlock/internal/proctest"
)

// A contest is a mutex and the turns that processes have had.
type contest struct {
	m     Mutex
	_     [24]byte
	stop  atomic.Bool
	_     [63]byte
	turns [2]struct { // of each process; the mutex guards them
		n atomic.Int64
		_ [56]byte
	}
}

func init() {
	// contender WHO N: N goroutines lock and unlock until the stop.
	proctest.Register("contender", func(c *proctest.Child) {
		k := at[contest](c.Memory(0), 0)
		mine := &k.turns[c.Int(0)].n
		turns := make([]atomic.Int64, c.Int(1))
		var all sync.WaitGroup
		for g := range turns {
			all.Add(1)
			go func() {
				defer all.Done()
				for !k.stop.Load() {
					k.m.Lock()
					turns[g].Add(1)
					mine.Add(1)
					k.m.Unlock()
				}
			}()
		}
		c.Until("all to queue", func() bool { return park.Waiters(&k.m.word) == len(turns) })
		c.Say("queued")
		c.Recv()
		before := snapshotOf(turns)
		c.Say("counting")
		c.Recv()
		var had []int64
		c.Until("each to have had a turn", func() bool {
			had = snapshotOf(turns)
			for g := range had {
				had[g] -= before[g]
			}
			return slices.Min(had) > 0
		})
		c.Sayf("%d %d", slices.Min(had), slices.Max(had))
		c.Recv()
		k.stop.Store(true)
		all.Wait()
	})
	// hammered N: one goroutine locks and unlocks without a pause, another wants the
	// lock N times and says how long it waited each time.
	proctest.Register("hammered", func(c *proctest.Child) {
		k := at[contest](c.Memory(0), 0)
		go func() {
			for !k.stop.Load() {
				k.m.Lock()
				k.turns[0].n.Add(1)
				k.m.Unlock()
			}
		}()
		var waits proctest.Times
		for range c.Int(0) {
			// The other one is at it: it has had a turn since the last round.
			for seen := k.turns[0].n.Load(); k.turns[0].n.Load() == seen; {
				time.Sleep(10 * time.Microsecond)
			}
			start := time.Now()
			k.m.Lock()
			waits = append(waits, time.Since(start))
			k.m.Unlock()
		}
		k.stop.Store(true)
		c.Say(waits.Line())
	})
}

func init() {
	// hog D: in a loop, holds the lock for D. Asks for it again at once.
	proctest.Register("hog", func(c *proctest.Child) {
		k := at[contest](c.Memory(0), 0)
		section, err := time.ParseDuration(c.Args[0])
		c.Check(err)
		c.Say("begins")
		for !k.stop.Load() {
			k.m.Lock()
			for start := time.Now(); time.Since(start) < section; {
			}
			k.turns[0].n.Add(1)
			k.m.Unlock()
		}
	})
}

func snapshotOf(turns []atomic.Int64) []int64 {
	now := make([]int64, len(turns))
	for i := range turns {
		now[i] = turns[i].Load()
	}
	return now
}

func newContest(t *testing.T) (*os.File, *contest) {
	t.Helper()
	f, mem := proctest.Memfd(t, os.Getpagesize())
	k := at[contest](mem, 0)
	proctest.Watchdog(t, 2*time.Minute, func() string {
		return fmt.Sprintf("%s; turns %d and %d", describe(&k.m), k.turns[0].n.Load(), k.turns[1].n.Load())
	})
	return f, k
}

func TestTwoProcessesOfAThousandShareFairly(t *testing.T) { // T87
	f, k := newContest(t)
	window := proctest.Lasts(t, 2*time.Second, time.Minute)
	k.m.Lock()
	var both []*proctest.Proc
	for i := range 2 {
		both = append(both, proctest.Start(t, "contender", proctest.Files(f),
			proctest.Args(strconv.Itoa(i), strconv.Itoa(proctest.Scaled(1000, 200)))))
	}
	for _, p := range both {
		p.Expect("queued")
	}
	k.m.Unlock()
	proctest.Until(t, "both to have turns", func() bool { return k.turns[0].n.Load() > 0 && k.turns[1].n.Load() > 0 })
	for _, p := range both {
		p.Send("count")
		p.Expect("counting")
	}
	proctest.Measure(t, func() (complaint string) {
		a, b := k.turns[0].n.Load(), k.turns[1].n.Load()
		time.Sleep(window) // its length is its only measure
		a, b = k.turns[0].n.Load()-a, k.turns[1].n.Load()-b
		t.Logf("%d and %d turns in %v: the smaller part is %.0f %% of the larger", a, b, window, 100*float64(min(a, b))/float64(max(a, b)))
		if 100*min(a, b) < 40*max(a, b) {
			return fmt.Sprintf("%d turns for one process and %d for the other", a, b)
		}
		return ""
	})
	start := time.Now()
	for i, p := range both {
		p.Send("enough")
		least, most := twoNumbers(t, p.Line())
		t.Logf("process %d: each goroutine had %d to %d turns, %v after the window", i, least, most, time.Since(start).Round(time.Millisecond))
	}
	for _, p := range both {
		p.Send("stop")
		p.WaitExit(0)
	}
}

func TestALoopOfLocksStarvesNoWaiter(t *testing.T) { // T87
	const promise = time.Millisecond // until newcomers stand back; then the holder's turn to end
	for i, x := range proctest.Circumstances {
		rounds := 200
		if i > 1 {
			rounds = 20 // with one P each takes a time slice of Go's scheduler
		}
		t.Run(x.Name, func(t *testing.T) {
			proctest.Measure(t, func() (complaint string) {
				f, _ := newContest(t)
				p := proctest.Start(t, "hammered", append(x.Options, proctest.Files(f), proctest.Args(strconv.Itoa(rounds)))...)
				waits := proctest.ParseTimes(t, p.Line())
				p.WaitExit(0)
				t.Logf("waited %v (promised: overtaken for %v)", waits, promise)
				if d := waits.At(1); proctest.TooLate(d) {
					t.Errorf("a wait took %v", d)
				}
				if d := waits.At(0.5); d > 10*promise {
					return fmt.Sprintf("half of the waits beside a loop of locks took more than %v", d)
				}
				return ""
			})
		})
	}
}

// A process that asks again the moment it has let go is awake when the other one
// still has to be woken. It must not win every time.
func TestAProcessInALoopOfLocksStarvesNoOther(t *testing.T) { // T87, E-M12
	for section, rounds := range map[time.Duration]int{0: 300, 100 * time.Microsecond: 300, time.Millisecond: 100, 10 * time.Millisecond: 20} {
		t.Run(section.String(), func(t *testing.T) {
			proctest.Measure(t, func() string { return besideALoop(t, section, rounds) })
		})
	}
}

func besideALoop(t *testing.T, section time.Duration, rounds int) (complaint string) {
	f, k := newContest(t)
	hog := proctest.Start(t, "hog", proctest.Files(f), proctest.Args(section.String()))
	hog.Expect("begins")
	idle := latencies() // what waking up takes here, without any lock
	var waits proctest.Times
	for range rounds {
		seen := k.turns[0].n.Load()
		proctest.Until(t, "the other one to be at it", func() bool { return k.turns[0].n.Load() != seen })
		start := time.Now()
		k.m.Lock()
		waits = append(waits, time.Since(start))
		k.m.Unlock()
	}
	k.stop.Store(true)
	hog.WaitExit(0)
	// The section under way, the one after it, and the turn's end.
	promise := 2*section + time.Millisecond
	late := idle()
	t.Logf("waited %v (promised: %v; a timer is late: %v)", waits, promise, late)
	// Each of the two may have to wait for a CPU, too, and more than once.
	if d := waits.At(0.99); d > 10*promise+10*late.At(0.99)+20*time.Millisecond {
		return fmt.Sprintf("one of a hundred waits took %v", d)
	}
	return ""
}

// latencies measures how late a timer of 1 ms is, until the function that it
// returns is called.
func latencies() func() proctest.Times {
	stop, late := make(chan bool), make(chan proctest.Times)
	go func() {
		var all proctest.Times
		for {
			start := time.Now()
			select {
			case <-stop:
				late <- all
				return
			case <-time.After(time.Millisecond):
				all = append(all, time.Since(start)-time.Millisecond)
			}
		}
	}()
	return func() proctest.Times { stop <- true; return <-late }
}
