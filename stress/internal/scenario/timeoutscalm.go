package scenario

import (
	"fmt"
	"strings"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/report"
)

// How long the load lasts between two calm stretches, and how long a calm
// stretch goes on meeting.
const (
	timeoutsLoad = 150 * time.Millisecond
	timeoutsMeet = 120 * time.Millisecond
)

// A wait that is cancelled should return within the aim where nobody is in the
// way; ten times that is a verdict, beyond what Go's own timers were late.
const (
	cancelAim   = time.Millisecond
	cancelLimit = 10 * cancelAim
)

// prompter alternates between load and calm. In the calm there are two pieces:
// waits that end by their deadline are timed, and a deadline and what is waited
// for are made to meet.
type prompter struct {
	*director
	t       *timeoutsArea
	aims    map[[2]int]*aim // by kind and by the group of who may be cancelled
	next    int             // slot whose cancellations are measured next
	meets   int
	refused int // of these, how often the deadline came first
}

func newPrompter(st Stage) *prompter {
	c := newConductor(st)
	t := timeoutsOf(c.a)
	return &prompter{director: direct(c, &t.Hand), t: t, aims: map[[2]int]*aim{}}
}

// conduct recounts at rest after each stretch of load; every other is free of
// kills, so that its counts have to be exact.
func (p *prompter) conduct() {
	for spare := false; ; spare = !spare {
		p.st.Calm(spare)
		more := p.st.Sleep(timeoutsLoad)
		p.st.Calm(true)
		if !p.until("an orphan is not repaired", p.whole) || !p.st.Pause() {
			return
		}
		p.t.S.recount(p.a)
		p.t.Q.recount(p.a)
		p.a.Mode.Store(modeCalm)
		p.st.Resume()
		if !p.measure() || !p.meet() || !p.st.Pause() {
			return
		}
		p.a.Mode.Store(0)
		p.st.Resume()
		if !more {
			return
		}
	}
}

// whole says that all workers are there and no lock is an orphan: at rest nobody
// would repair it.
func (p *prompter) whole() bool {
	for slot := range p.orders {
		if !p.st.Ready(slot) {
			return false
		}
	}
	return arena.Word(&p.t.M.Mu, 0)&(1<<30) == 0 && arena.Word(&p.t.Box.Mu, 0)&(1<<30) == 0
}

// measure has one worker of each group wait in vain while another holds what is
// waited for.
func (p *prompter) measure() bool {
	for range groups {
		slot := p.next % len(p.orders)
		holder := (p.next + 1) % len(p.orders)
		p.next++
		p.order(holder, opHold)
		held := func() bool { return p.a.Lane(holder, 0).Label.Load() == LabelInside }
		if !p.until("a worker does not get what nobody holds", held) || !p.do(slot, opCancels) || !p.do(holder, opRest) {
			return false
		}
	}
	return true
}

// encounter is a way in which a deadline and what is waited for can meet.
type encounter struct {
	name        string
	kind        int
	take        uint32 // by the giver, before; 0: nothing
	timed, wait uint32 // by the one who may be cancelled, and by the one behind it
	give        uint32 // by the giver; and once more, of a mutex by the first, if the first got it
	free        func() bool
}

func (p *prompter) encounters() []encounter {
	return []encounter{
		{"mutex", onMutex, opLock, opLockUntil, opLockBrief, opUnlock, p.lockFree},
		{"semaphore", onSemaphore, 0, opAcquireUntil, opAcquire, opRelease, func() bool { return p.h.Sem.Value() > 0 }},
		{"cond", onCond, 0, opWaitUntil, opWait, opSignal, func() bool { return p.h.Tickets.Load() > 0 && p.lockFree() }},
	}
}

// aim finds the moment at which the deadline and the gift come at once: earlier
// each time the deadline was first, later each time the gift was.
type aim struct {
	offset, step time.Duration // of the gift, from the deadline on
	earlier      bool
}

func (m *aim) learn(cancelled bool) {
	if cancelled == m.earlier {
		m.step = min(3*m.step/2, 4*time.Millisecond)
	} else {
		m.step = max(m.step/3, 2*time.Microsecond)
	}
	if m.earlier = cancelled; cancelled {
		m.offset -= m.step
	} else {
		m.offset += m.step
	}
	m.offset = min(max(m.offset, -2*time.Millisecond), 15*time.Millisecond)
}

// meet plays encounters for a while, at least one of each kind.
func (p *prompter) meet() bool {
	all := p.encounters()
	for i, end := 0, time.Now().Add(timeoutsMeet); i < len(all) || time.Now().Before(end); i++ {
		if !p.encounter(all[i%len(all)]) {
			return false
		}
	}
	return true
}

// encounter: b waits with a deadline, c behind it without one, and a gives just
// when the deadline is over. Whatever b makes of it, c must get its turn by a
// wake: from a's gift if b was cancelled, else from another.
func (p *prompter) encounter(e encounter) bool {
	const enough = 5 * time.Millisecond // for both to fall asleep
	a, b, c := p.cast()
	key := [2]int{e.kind, groupOf(b)}
	if p.aims[key] == nil {
		p.aims[key] = &aim{step: 50 * time.Microsecond}
	}
	if e.take != 0 && !p.do(a, e.take) {
		return false
	}
	due := arena.Now() + int64(enough)
	p.t.Until.Store(due)
	if !p.sleeperUnless(b, e.timed, func() bool { return p.done(b) }) || !p.sleeper(c, e.wait) {
		return false
	}
	p.h.GiveAt.Store(due + int64(p.aims[key].offset))
	if !p.do(a, e.give) || !p.until("a wait with a deadline does not end: "+e.name, func() bool { return p.done(b) }) {
		return false
	}
	cancelled := p.a.Lane(b, 0).Rec[recOutcome].Load() == outcomeCancelled
	p.aims[key].learn(cancelled)
	p.meets++
	if cancelled {
		p.refused++
	} else {
		giver := a
		if e.kind == onMutex {
			giver = b
		}
		if !p.do(giver, e.give) {
			return false
		}
	}
	return p.play(scene{what: e.name + ", behind a cancelled wait", waiters: []int{c}, free: e.free, wanted: 1, calm: true})
}

// check judges how late cancelled waits returned, and says so.
func (p *prompter) check(a *arena.Arena, f *Findings) {
	p.t.check(a, f)
	f.Notes = append(f.Notes, fmt.Sprintf("met %d (cancelled %d)", p.meets, p.refused), "cancel to return (median/p99/worst)")
	for kind := range kinds {
		s := p.t.over(calm, kind)
		f.Notes = append(f.Notes, fmt.Sprintf("%s %s/%s/%s", kindNames[kind], report.Short(s.Quantile(50)), report.Short(s.Quantile(99)), report.Short(s.Max())))
		metrics(f, "calm_"+kindNames[kind], s)
		metrics(f, "loaded_"+kindNames[kind], p.t.over(underLoad, kind))
	}
	f.Notes = append(f.Notes, "p99")
	for group := range groups {
		s := together(p.t.ofGroup(calm, group))
		timer := time.Duration(p.t.Late[calm][group][onTimer].Worst.Load())
		f.Notes = append(f.Notes, fmt.Sprintf("%s %s", groupNames[group], report.Short(s.Quantile(99))))
		metrics(f, "calm_"+groupNames[group], s)
		if s.Quantile(99) > cancelLimit+timer {
			f.Late = append(f.Late, fmt.Sprintf("%s: one cancelled wait in a hundred returned %v after its deadline or later, without load: "+
				"more than ten times %v; Go's own timers were %v late at most", groupNames[group], s.Quantile(99), cancelAim, timer))
		}
	}
	f.Notes = append(f.Notes, "under load")
	for group := range groups {
		s := together(p.t.ofGroup(underLoad, group))
		f.Notes = append(f.Notes, fmt.Sprintf("%s %s", groupNames[group], report.Short(s.Quantile(99))))
		metrics(f, "loaded_"+groupNames[group], s)
	}
	f.Metric("meetings", float64(p.meets))
	f.Metric("meetings_cancelled", float64(p.refused))
}

// together adds spreads up.
func together(spreads []*arena.Spread) *report.Latency {
	all := report.NewLatency()
	for _, s := range spreads {
		s.Each(all.Record)
	}
	return all
}

func metrics(f *Findings, name string, s *report.Latency) {
	name = strings.ReplaceAll(name, "/", "_")
	f.Metric(name+"_count", float64(s.Count()))
	f.Metric(name+"_median_ns", float64(s.Quantile(50)))
	f.Metric(name+"_p99_ns", float64(s.Quantile(99)))
	f.Metric(name+"_worst_ns", float64(s.Max()))
}

// over is one kind of wait in all groups.
func (t *timeoutsArea) over(load, kind int) *report.Latency {
	var all []*arena.Spread
	for group := range groups {
		all = append(all, &t.Late[load][group][kind])
	}
	return together(all)
}

// ofGroup is all kinds of waits of the library in one group.
func (t *timeoutsArea) ofGroup(load, group int) []*arena.Spread {
	var all []*arena.Spread
	for kind := range onTimer {
		all = append(all, &t.Late[load][group][kind])
	}
	return all
}
