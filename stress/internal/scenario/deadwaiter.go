package scenario

import (
	"fmt"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/report"
)

// The pieces in which the one who was woken, or the owner, is killed: those
// who sleep behind the dead must be woken all the same. The wake that went to
// the dead is gone, so here a look may have to find them.
func deadWaiterPlan() *Plan {
	p := handPlan("dead-waiter", "the one that was woken, or the owner, is killed: those asleep behind it get their turn")
	p.Duration = 1200 * time.Millisecond
	var d *director
	p.Conduct = func(st Stage) {
		d = newDirector(st)
		pieces := []func() bool{d.deadSleeper, d.deadOwner, d.deadTaker, d.deadOwner, d.deadListener}
		for i := 0; st.Sleep(0); i++ {
			if !pieces[i%len(pieces)]() {
				return
			}
		}
	}
	p.Check = func(a *arena.Arena, f *Findings) {
		for kind := range d.samples {
			f.Metric("median_ns "+kind, float64(d.median(kind)))
		}
		f.Notes = append(f.Notes, fmt.Sprintf("next after a dead owner %s (median), found by a look %d, hung 0",
			report.Short(d.median("after a dead owner, next")), d.rescued))
	}
	return p
}

// ready waits until all three workers are there and idle.
func (d *director) ready() bool {
	return d.until("a worker that was killed is not replaced", func() bool {
		return d.st.Ready(0) && d.st.Ready(1) && d.st.Ready(2)
	})
}

// strike has killer give away what it holds and at once kill victim, which is
// first in line and so the one that is woken. Nobody can say how far it gets.
func (d *director) strike(killer, victim int, op uint32) bool {
	d.h.Target.Store(uint64(d.st.PID(victim)))
	d.st.Expect(victim)
	return d.do(killer, op)
}

// deadSleeper: a holds the mutex; b and c sleep. a unlocks, which wakes b, and
// kills b. c must get the mutex: b's wake died with it, or b died as the owner.
func (d *director) deadSleeper() bool {
	a, b, c := d.cast()
	if !d.ready() || !d.do(a, opLock) || !d.sleeper(b, opLock) || !d.sleeper(c, opLockBrief) || !d.strike(a, b, opUnlockKill) {
		return false
	}
	ok := d.play(scene{what: "mutex, dead waiter", waiters: []int{c}, free: d.lockFree, wanted: 1})
	d.times("behind a dead waiter", int64(d.a.Lane(a, 0).Rec[recGave].Load()), []int{c}, false)
	return ok
}

// deadTaker: b and c wait for a permit; a gives one, which wakes b, and kills
// b. If b died with the permit, there is none for c until a gives another.
func (d *director) deadTaker() bool {
	a, b, c := d.cast()
	if !d.ready() || !d.sleeper(b, opAcquire) || !d.sleeper(c, opAcquire) || !d.strike(a, b, opReleaseKill) || !d.ready() {
		return false
	}
	if !d.done(c) && d.h.Sem.Value() == 0 && !d.do(a, opRelease) {
		return false
	}
	free := func() bool { return d.h.Sem.Value() > 0 }
	if !d.play(scene{what: "semaphore, dead waiter", waiters: []int{c}, free: free, wanted: 1}) {
		return false
	}
	// c may have been served by b's permit as well as by the other.
	for d.h.Sem.Value() > 0 {
		d.h.Sem.TryAcquire()
	}
	return true
}

// deadListener: the same with a condition.
func (d *director) deadListener() bool {
	a, b, c := d.cast()
	if !d.ready() || !d.sleeper(b, opWait) || !d.sleeper(c, opWait) || !d.strike(a, b, opSignalKill) || !d.ready() {
		return false
	}
	if !d.done(c) && d.h.Tickets.Load() == 0 && !d.do(a, opSignal) {
		return false
	}
	free := func() bool { return d.h.Tickets.Load() > 0 && d.lockFree() }
	if !d.play(scene{what: "cond, dead waiter", waiters: []int{c}, free: free, wanted: 1}) {
		return false
	}
	d.h.Tickets.Store(0)
	return true
}

// deadOwner: a holds the mutex; b and c sleep. a is killed. The kernel wakes
// one of them, who repairs, and must remember the other when it unlocks: that
// is a calm hand-over between two living processes, so a wake is due.
func (d *director) deadOwner() bool {
	a, b, c := d.cast()
	if !d.ready() || !d.do(a, opLock) || !d.sleeper(b, opLockBrief) || !d.sleeper(c, opLockBrief) {
		return false
	}
	waiters := []int{b, c}
	killed := arena.Now()
	d.st.Kill(a, true)
	if !d.play(scene{what: "mutex, dead owner", waiters: waiters, free: d.lockFree, wanted: 1}) ||
		!d.play(scene{what: "mutex, behind the heir of a dead owner", waiters: waiters, free: d.lockFree, wanted: 2, calm: true}) {
		return false
	}
	d.times("after a dead owner", killed, waiters, true)
	return true
}
