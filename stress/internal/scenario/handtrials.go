package scenario

import (
	"fmt"

	"time"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/procfs"
	"interlock/stress/internal/report"
)

// The pieces that are played without a death: whoever waits must be woken by a
// wake. That a look would find it 40 ms later does not count.
func handoffPlan() *Plan {
	p := handPlan("handoff", "calm hand-overs between processes: each waiter is woken by a wake, not found by the look")
	p.Duration = 1200 * time.Millisecond
	var d *director
	p.Conduct = func(st Stage) {
		d = newDirector(st)
		var all unix.CPUSet
		if err := unix.SchedGetaffinity(0, &all); err != nil {
			all = unix.CPUSet{}
		}
		pieces := []func(where string) bool{d.mutexChain, d.semaphorePair, d.condPair, d.condAll, d.mutexDuel}
		for i := 0; st.Sleep(0); i++ {
			together := i/len(pieces)%2 == 1 || all.Count() == 1
			where := ""
			if together && all.Count() > 1 {
				where = " (one CPU)"
			}
			if together && i%len(pieces) == len(pieces)-1 {
				continue // a duel needs two CPUs
			}
			if all.Count() > 1 && i%len(pieces) == 0 {
				d.crowd(&all, together)
			}
			if !pieces[i%len(pieces)](where) {
				return
			}
		}
		if all.Count() > 1 {
			d.crowd(&all, false)
		}
	}
	p.Check = func(a *arena.Arena, f *Findings) {
		for _, kind := range []string{"mutex", "semaphore", "signal"} {
			f.Notes = append(f.Notes, fmt.Sprintf("%s %s", kind, report.Short(d.median(kind))))
		}
		f.Notes = append(f.Notes, fmt.Sprintf("(median) lost 0 duels %s", report.Count(d.rounds)))
		for kind := range d.samples {
			f.Metric("median_ns "+kind, float64(d.median(kind)))
		}
	}
	return p
}

func (d *director) lockFree() bool { return arena.Word(&d.h.Mu, 0)&(1<<30-1) == 0 }

// mutexChain: a holds; b and c sleep. a unlocks; the first of them gets it and
// unlocks; the second gets it.
func (d *director) mutexChain(where string) bool {
	a, b, c := d.cast()
	if !d.do(a, opLock) || !d.sleeper(b, opLockBrief) || !d.sleeper(c, opLockBrief) || !d.do(a, opUnlock) {
		return false
	}
	waiters := []int{b, c}
	ok := d.play(scene{what: "mutex" + where, waiters: waiters, free: d.lockFree, wanted: 2, calm: true})
	d.times("mutex"+where, int64(d.a.Lane(a, 0).Rec[recGave].Load()), waiters, true)
	return ok
}

// semaphorePair: b and c sleep; a gives a permit, and then another.
func (d *director) semaphorePair(where string) bool {
	return d.pair("semaphore"+where, opAcquire, opRelease, func() bool { return d.h.Sem.Value() > 0 })
}

// condPair: the same with tickets and signals.
func (d *director) condPair(where string) bool {
	return d.pair("signal"+where, opWait, opSignal, func() bool { return d.h.Tickets.Load() > 0 && d.lockFree() })
}

func (d *director) pair(kind string, wait, give uint32, free func() bool) bool {
	a, b, c := d.cast()
	if !d.sleeper(b, wait) || !d.sleeper(c, wait) {
		return false
	}
	waiters := []int{b, c}
	for n := range 2 {
		if !d.do(a, give) || !d.play(scene{what: kind, waiters: waiters, free: free, wanted: n + 1, calm: true}) {
			return false
		}
		if n == 0 {
			d.times(kind, int64(d.a.Lane(a, 0).Rec[recGave].Load()), waiters, false)
		}
	}
	return true
}

// condAll: b and c sleep; a issues two tickets and broadcasts.
func (d *director) condAll(where string) bool {
	a, b, c := d.cast()
	if !d.sleeper(b, opWait) || !d.sleeper(c, opWait) || !d.do(a, opBroadcast) {
		return false
	}
	waiters := []int{b, c}
	ok := d.play(scene{what: "broadcast" + where, waiters: waiters, wanted: 2, calm: true,
		free: func() bool { return d.h.Tickets.Load() > 0 && d.lockFree() }})
	d.times("broadcast"+where, int64(d.a.Lane(a, 0).Rec[recGave].Load()), waiters, false)
	return ok
}

// duelTime is how long a duel lasts.
const duelTime = 60 * time.Millisecond

// mutexDuel lets two fight for a while; c watches. A round in which one sleeps
// beside a free lock is one whose wake was lost.
func (d *director) mutexDuel(where string) bool {
	a, b, _ := d.cast()
	u := &d.h.Duel
	u.Holder.Store(uint32(a)) // one lane in each worker: its number is the slot's
	u.Go.N.Store(0)
	u.Done.N.Store(0)
	u.Until.Store(arena.Now() + int64(duelTime))
	d.order(a, opDuel)
	d.order(b, opDuel)
	begin, p, looks, stuck := time.Now(), d.patience(), 0, uint64(duelOver)
	for !d.done(a) || !d.done(b) {
		round := u.Done.N.Load()
		if round != stuck {
			stuck, looks, begin, p = round, 0, time.Now(), d.patience()
		} else if time.Since(begin) > 2*time.Millisecond && d.duelOverslept(a, b) {
			looks++
		}
		if looks == asleepLooks {
			d.st.Lost("mutex, duel%s: in round %d one sleeps beside the free lock", where, round+1)
			return false
		}
		if p.out() {
			d.st.Hang("mutex, duel%s: round %d does not end", where, round+1)
			return false
		}
		if !d.rest(time.Millisecond) {
			return false
		}
	}
	d.rounds += u.Done.N.Load()
	return true
}

// duelOverslept: the holder has let go, and the other sleeps beside the free
// lock.
func (d *director) duelOverslept(holder, other int) bool {
	waits := func() bool {
		return d.a.Lane(holder, 0).Label.Load() == LabelIdle && d.a.Lane(other, 0).Label.Load() == LabelWaiting && d.lockFree()
	}
	return waits() && procfs.Asleep(d.st.PID(other)) && waits()
}
