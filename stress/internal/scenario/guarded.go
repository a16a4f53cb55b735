package scenario

import (
	"fmt"
	"sync/atomic"
	"time"

	"interlock/stress/internal/arena"
)

// guarded is what a lock guards: one number, kept twice, changed in two steps by plain
// loads and stores, so that a second one inside, or a death between the steps, leaves a
// trace.
//
// The journal says what the owner is about to do, so that a repair can finish
// it. It is open from before the first change to after the last; each step
// from "open" on may be repeated.
type guarded struct {
	A, B uint64 // plain: only the lock makes them right
	insider
	Open    atomic.Uint64 // 1: the change below is under way
	Lane    atomic.Uint64 // whose
	Before  atomic.Uint64 // A and B before
	Done    atomic.Uint64 // the lane's own count before
	Repairs atomic.Uint64
	Redone  atomic.Uint64 // changes that a repair had to finish
}

// Labels of who changes it; all are inside the lock.
const (
	labelOpened = LabelOwn + iota
	labelHalf
	labelClosed
	labelRepairing
)

var mutexLabels = []string{"journal open", "half written", "journal closed", "repairing"}

// recDone counts what a lane finished; kept by the lock's journal.
const recDone = 0

// insider says who is inside a lock.
type insider struct {
	Canary atomic.Uint64 // pid<<32 | 1+lane; 0: nobody, or one who has not come to say so
}

func (l *Lane) name() uint64 { return uint64(l.W.Slot.PID.Load())<<32 | uint64(l.ID+1) }

// enter is called by who has the lock: nobody else may be inside.
func (in *insider) enter(l *Lane, what string) {
	me := l.name()
	if c := in.Canary.Load(); c != 0 {
		l.Fault("%s: lane %d (pid %d) is inside, and so is lane %d (pid %d)", what, l.ID, me>>32, uint32(c)-1, c>>32)
	}
	in.Canary.Store(me)
}

// leave is called by who still has the lock.
func (in *insider) leave(l *Lane, what string) {
	me := l.name()
	if c := in.Canary.Load(); c != me {
		l.Fault("%s: lane %d (pid %d) came in while lane %d (pid %d) was inside", what, uint32(c)-1, c>>32, l.ID, me>>32)
	}
	in.Canary.Store(0)
}

// linger stays inside, so that the patience of others comes to its end.
func (l *Lane) linger(d time.Duration) {
	if d > 0 {
		time.Sleep(d)
	}
}

// add is the change, one step at a time. It pauses in the middle, unless pause is nil.
func (m *guarded) add(l *Lane, pause func()) {
	m.Lane.Store(uint64(l.ID))
	m.Before.Store(m.A)
	m.Done.Store(l.Rec[recDone].Load())
	m.Open.Store(1)
	l.Reach(labelOpened)
	increment(&m.A, pause)
	l.Reach(labelHalf)
	increment(&m.B, nil)
	l.Rec[recDone].Store(m.Done.Load() + 1)
	m.Open.Store(0)
	l.Reach(labelClosed)
}

// increment is a load, an add and a store, not one instruction that no second
// CPU could come between (P-G15).
//
//go:noinline
func increment(p *uint64, between func()) {
	v := *p
	scratchpad.Store(v)
	if between != nil {
		between()
	}
	*p = v + 1
}

// scratchpad keeps the compiler from joining increment's load and store.
var scratchpad atomic.Uint64

// mourn stamps the graves of those on whose behalf a repair begins: pid, as the
// mutex says, and the process that had written itself into what the mutex
// guards, if any. It returns false if the mutex took somebody for dead who
// was not killed.
//
// The two may differ. If pid took the lock over from the other and died before
// it could repair, both are dead. And an owner that died between taking the
// lock and writing its name goes by the name of the owner before, or by none:
// then nobody is inside, and nothing was changed.
func mourn(w *Worker, pid, inside int) bool {
	known := w.Arena.Mourn(pid)
	if inside == 0 {
		return true
	}
	if inside != pid {
		known = w.Arena.Mourn(inside) && known
	}
	return known
}

// redo finishes what the dead began. Whoever calls it holds the lock, and may itself be
// killed at any point: then the next one finds the same, or what is left of it.
func (m *guarded) redo(a *arena.Arena) {
	m.Repairs.Add(1)
	if m.Open.Load() != 0 {
		m.A = m.Before.Load() + 1
		m.B = m.Before.Load() + 1
		a.LaneByID(int(m.Lane.Load())).Rec[recDone].Store(m.Done.Load() + 1)
		m.Open.Store(0)
		m.Redone.Add(1)
	}
	m.Canary.Store(0)
}

func (m *guarded) words() []Word {
	c := m.Canary.Load()
	return []Word{
		{"inside", fmt.Sprintf("pid %d lane %d (0 0: nobody)", c>>32, uint32(c))},
		{"journal", fmt.Sprintf("open %d lane %d", m.Open.Load(), m.Lane.Load())},
	}
}

// check judges what is left when all have left.
func (m *guarded) check(a *arena.Arena, f *Findings, what string) {
	want := a.Sum(recDone)
	if m.A != want || m.B != want {
		f.Faults = append(f.Faults, fmt.Sprintf("%s: the counters are %d and %d after %d increments under the lock", what, m.A, m.B, want))
	}
	if c := m.Canary.Load(); c != 0 {
		f.Faults = append(f.Faults, fmt.Sprintf("%s: all have left, but pid %d says it is inside", what, c>>32))
	}
	f.Notes = append(f.Notes, fmt.Sprintf("lost %d", int64(want-m.A)))
	f.Metric("repairs", float64(m.Repairs.Load()))
	f.Metric("redone", float64(m.Redone.Load()))
}
