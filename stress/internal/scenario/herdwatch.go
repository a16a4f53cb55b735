package scenario

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/procfs"
	"interlock/stress/internal/report"
)

// What the herd may cost, and what each of two processes must get.
const leastShare = 40 // percent of what the other gets

// mostThreads is for any worker, however many of its goroutines wait: the runtime has
// some for each CPU.
var mostThreads = 28 + 2*runtime.NumCPU()

// How long the herd is watched in each round, and how long it is then thinned.
const (
	herdWindow = 400 * time.Millisecond
	herdKills  = 400 * time.Millisecond
)

// drover brings the herd together, and watches.
type drover struct {
	*conductor
	h    *herdArea
	gens []uint32 // the generation of each worker that has its order

	threads  int       // the most of any worker
	turns    [2]uint64 // in the measured stretches
	watched  time.Duration
	longest  time.Duration
	served   time.Duration // from the first permit to the last that got one
	back     time.Duration // from the broadcast to the last that was back
	sleepers int           // in the kernel just before a broadcast, all workers together
	hidden   bool          // this machine does not show them
	switches []int         // of each worker, around a broadcast
}

func newDrover(st Stage) *drover {
	c := newConductor(st)
	return &drover{conductor: c, h: herdOf(c.a), gens: make([]uint32, len(c.orders)), switches: make([]int, len(c.orders))}
}

// drive is one round: all there is, once. False: the run is broken off.
func (d *drover) drive() bool {
	d.st.Calm(true)
	return d.until("a worker is not there", d.allReady) &&
		d.gather() && d.watch() && d.thin() &&
		d.feed(0, 1) && d.feed(1, 0) && d.cast()
}

func (d *drover) allReady() bool {
	for slot := range d.orders {
		if !d.st.Ready(slot) {
			return false
		}
	}
	return true
}

// asleep says whether n goroutines in each of these workers have come to wait,
// and do: then none of their threads runs.
func (d *drover) asleep(n int, slots ...int) bool {
	for _, slot := range slots {
		if int(herdSlotOf(d.a, slot).Came.Load()) != n || !procfs.Asleep(d.st.PID(slot)) {
			return false
		}
	}
	return true
}

// call orders a crowd to come.
func (d *drover) call(slot int, op uint32) {
	herdSlotOf(d.a, slot).Came.Store(0)
	d.gens[slot] = d.a.Slot(slot).Gen.Load()
	d.order(slot, op)
}

// sample looks how many threads the workers have.
func (d *drover) sample() {
	for slot := range d.orders {
		d.threads = max(d.threads, procfs.Count(d.st.PID(slot)))
	}
}

// gather has two crowds queue up behind the gate.
func (d *drover) gather() bool {
	d.h.Opened.Store(0)
	d.h.Closed.Store(0)
	d.h.Gated.Store(0)
	d.h.Halt.Store(0)
	d.call(0, opGate)
	if !d.until("the gate is not closed", func() bool { return d.h.Gated.Load() == 1 }) {
		return false
	}
	d.call(1, opContend)
	n := int(d.a.Crowd.Load())
	return d.until("not all of a crowd come to wait for the mutex", func() bool { return d.asleep(n, 0, 1) })
}

// watch opens the gate and measures what each of the two gets.
func (d *drover) watch() bool {
	turns := func(slot int) uint64 { return d.a.Lane(slot, 0).Ops.Load() }
	before := [2]uint64{turns(0), turns(1)}
	opened := arena.Now()
	d.h.Opened.Store(opened)
	for arena.Now() < opened+int64(herdWindow) {
		d.sample()
		if !d.rest(5 * time.Millisecond) {
			return false
		}
	}
	closed := arena.Now()
	for slot := range d.turns {
		d.turns[slot] += turns(slot) - before[slot]
	}
	d.h.Closed.Store(closed)
	d.watched += time.Duration(closed - opened)
	return true
}

// thin has all the workers contend while some are killed, and then has them
// leave. Who comes instead of the dead contends, too.
func (d *drover) thin() bool {
	for slot := 2; slot < len(d.orders); slot++ {
		d.call(slot, opJoin)
	}
	d.st.Calm(false)
	for end := time.Now().Add(herdKills); time.Now().Before(end); {
		d.sample()
		d.replace()
		if !d.rest(5 * time.Millisecond) {
			return false
		}
	}
	d.st.Calm(true)
	// A repair is due while there are some who lock.
	if !d.until("an orphan is not repaired", func() bool { return d.replace() && arena.Word(&d.h.M.Mu, 0)&(1<<30) == 0 }) {
		return false
	}
	d.h.Halt.Store(1)
	return d.until("a crowd does not leave the mutex", func() bool { return d.allDone() })
}

func (d *drover) allDone() bool {
	for slot := range d.orders {
		if !d.done(slot) {
			return false
		}
	}
	return true
}

// replace gives the orders of the dead to their successors. True: all are there
// and have theirs.
func (d *drover) replace() bool {
	all := true
	for slot := range d.orders {
		switch {
		case !d.st.Ready(slot):
			all = false
		case d.a.Slot(slot).Gen.Load() != d.gens[slot]:
			d.call(slot, opJoin)
		}
	}
	return all
}

// feed has the crowd of one worker wait for permits, which another gives.
func (d *drover) feed(waiter, giver int) bool {
	d.h.Last.Store(0)
	d.call(waiter, opQueue)
	n := int(d.a.Crowd.Load())
	if !d.until("not all of a crowd come to wait for a permit", func() bool { return d.asleep(n, waiter) }) {
		return false
	}
	d.sample()
	d.order(giver, opGive)
	ok := d.until("not everybody gets a permit, although there is one for each", func() bool {
		d.sample()
		return d.done(giver) && d.done(waiter)
	})
	d.served = max(d.served, time.Duration(d.h.Last.Load()-d.h.Gave.Load()))
	if left, counted := d.h.Sem.Value(), arena.Word(&d.h.Sem, 1); ok && (left != 0 || counted != 0) {
		d.a.Fault(-1, "herd: %d permits for %d goroutines: all have one, and there are %d more; %d are counted as waiting", n, n, left, counted)
	}
	return ok
}

// cast has a crowd in all workers wait for one broadcast. The supervisor makes
// it: nobody's threads do anything then but what the broadcast has them do.
func (d *drover) cast() bool {
	d.h.Last.Store(0)
	slots := make([]int, len(d.orders))
	for slot := range slots {
		slots[slot] = slot
		d.call(slot, opListen)
	}
	n := part(d.a)
	sleepers := 0
	if !d.until("not all of a crowd come to wait for a broadcast", func() bool {
		ok := d.asleep(n, slots...) && arena.Word(&d.h.Mu, 0) == 0
		if ok {
			sleepers, ok = d.countSleepers()
		}
		return ok
	}) {
		return false
	}
	if !d.until("the mutex of those who wait is not free", d.h.Mu.TryLock) {
		return false
	}
	d.h.Casts.Add(1)
	d.h.Mu.Unlock()
	before := make([]int, len(slots))
	for slot := range slots {
		before[slot] = procfs.Switches(d.st.PID(slot))
	}
	d.h.Gave.Store(arena.Now())
	d.h.Cond.Broadcast()
	ok := d.until("a broadcast does not bring everybody back", d.allDone)
	for slot := range slots {
		d.switches[slot] = procfs.Switches(d.st.PID(slot)) - before[slot]
	}
	d.sample()
	d.sleepers = max(d.sleepers, sleepers)
	d.back = max(d.back, time.Duration(d.h.Last.Load()-d.h.Gave.Load()))
	return ok
}

// countSleepers is how many threads of all workers the kernel has asleep on the
// word of the condition. False: a worker has none yet.
func (d *drover) countSleepers() (sum int, ok bool) {
	for slot := range d.orders {
		n, shown := procfs.Sleepers(d.st.PID(slot), herdSlotOf(d.a, slot).Cond.Load())
		if !shown {
			d.hidden = true
			return 0, true
		}
		if n == 0 {
			return 0, false
		}
		sum += n
	}
	return sum, true
}

// check judges the counter, the shares and the threads.
func (d *drover) check(a *arena.Arena, f *Findings) {
	d.h.M.check(a, f)
	for slot := range d.orders {
		d.longest = max(d.longest, time.Duration(herdSlotOf(a, slot).Longest.Load()))
	}
	x, y := d.turns[0], d.turns[1]
	share := 100 * float64(x) / float64(max(x+y, 1))
	if min(x, y)*100 < max(x, y)*leastShare {
		f.Late = append(f.Late, fmt.Sprintf("two processes contend for one mutex: one had %d turns, the other %d: less than %d %%",
			max(x, y), min(x, y), leastShare))
	}
	if d.threads > mostThreads {
		f.Late = append(f.Late, fmt.Sprintf("a worker had %d threads: more than %d", d.threads, mostThreads))
	}
	if d.sleepers > len(d.orders) {
		f.Late = append(f.Late, fmt.Sprintf("a broadcast had to wake %d kernel sleepers in %d processes", d.sleepers, len(d.orders)))
	}
	rate := float64(x+y) / max(d.watched.Seconds(), 1e-9)
	f.Notes = append(f.Notes, fmt.Sprintf("share %.0f:%.0f %s ops/s longest wait %s threads %d semaphore served in %s",
		share, 100-share, report.Count(uint64(rate)), report.Short(d.longest), d.threads, report.Short(d.served)))
	sleepers := fmt.Sprintf("%d kernel sleepers", d.sleepers)
	if d.hidden {
		sleepers = "(kernel sleepers not shown here)"
	}
	f.Notes = append(f.Notes, fmt.Sprintf("broadcast back in %s %s switches %s", report.Short(d.back), sleepers,
		strings.Trim(fmt.Sprint(d.switches), "[]")))
	for name, v := range map[string]float64{
		"share_percent": share, "ops_per_second": rate, "longest_wait_ns": float64(d.longest), "threads_most": float64(d.threads),
		"semaphore_served_ns": float64(d.served), "broadcast_back_ns": float64(d.back), "broadcast_sleepers": float64(d.sleepers),
	} {
		f.Metric(name, v)
	}
	for slot, n := range d.switches {
		f.Metric(fmt.Sprintf("broadcast_switches_%d", slot), float64(n))
	}
}
