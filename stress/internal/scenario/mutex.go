package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"interlock/mutex"
	"interlock/stress/internal/arena"
)

// mutexArea is a mutex and what it guards: one number, kept twice, changed in
// two steps by plain loads and stores, so that a second one inside, or a death
// between the steps, leaves a trace.
//
// The journal says what the owner is about to do, so that a repair can finish
// it. It is open from before the first change to after the last; each step
// from "open" on may be repeated.
type mutexArea struct {
	Mu   mutex.Mutex
	_    [24]byte
	A, B uint64 // plain: only the lock makes them right
	insider
	Open    atomic.Uint64 // 1: the change below is under way
	Lane    atomic.Uint64 // whose
	Before  atomic.Uint64 // A and B before
	Done    atomic.Uint64 // the lane's own count before
	Repairs atomic.Uint64
	Redone  atomic.Uint64 // changes that a repair had to finish
}

// insider says who is inside a lock.
type insider struct {
	Canary atomic.Uint64 // pid<<32 | 1+lane; 0: nobody, or one who has not come to say so
}

// Labels of the mutex scenario; all are inside the lock.
const (
	labelOpened = LabelOwn + iota
	labelHalf
	labelClosed
	labelRepairing
)

var mutexLabels = []string{"journal open", "half written", "journal closed", "repairing"}

// recDone counts what a lane finished; kept by the lock's journal.
const recDone = 0

func mutexPlan() *Plan {
	return &Plan{
		Name:     "mutex",
		About:    "a plain counter under a mutex; owners killed inside are repaired, no update is lost",
		Labels:   mutexLabels,
		Duration: 2 * time.Second,
		Shape:    Shape{Procs: 4, Lanes: 8},
		Least:    Shape{Procs: 1, Lanes: 1},
		Traps:    []uint32{LabelInside, labelOpened, labelHalf, labelClosed, labelRepairing},
		Held:     []uint32{LabelInside, labelOpened, labelHalf, labelClosed},
		Marks:    []string{"E-M"},
		Area:     func(procs, lanes int) int { return arena.SizeOf[mutexArea]() },
		Attach: func(w *Worker) (Body, error) {
			m := arena.At[mutexArea](w.Arena.Scenario(), 0)
			m.Mu.OnOwnerDeath(func(pid int) error { return m.repair(w, pid) })
			return Body{Step: m.step}, nil
		},
		Check: func(a *arena.Arena, f *Findings) { arena.At[mutexArea](a.Scenario(), 0).check(a, f) },
		Words: func(a *arena.Arena) []Word { return arena.At[mutexArea](a.Scenario(), 0).words() },
	}
}

// step is one increment.
func (m *mutexArea) step(l *Lane) error {
	l.Label.Store(LabelWaiting)
	begin := l.Begin()
	if err := acquire(&m.Mu, l); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			l.Errors.Add(1)
			return nil
		}
		return err
	}
	begin = l.Took(arena.Wait, begin)
	m.change(l, 0)
	l.Took(arena.Hold, begin)
	return nil
}

// change is the rest of a step: the lane has the lock, changes what it guards,
// stays for a while and leaves.
func (m *mutexArea) change(l *Lane, stay time.Duration) {
	m.enter(l, "mutex")
	l.Reach(LabelInside)
	m.add(l)
	l.linger(stay)
	m.leave(l, "mutex")
	m.Mu.Unlock()
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
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

// add is the change, one step at a time.
func (m *mutexArea) add(l *Lane) {
	m.Lane.Store(uint64(l.ID))
	m.Before.Store(m.A)
	m.Done.Store(l.Rec[recDone].Load())
	m.Open.Store(1)
	l.Reach(labelOpened)
	increment(&m.A)
	l.Reach(labelHalf)
	increment(&m.B)
	l.Rec[recDone].Store(m.Done.Load() + 1)
	m.Open.Store(0)
	l.Reach(labelClosed)
}

// increment is a load, an add and a store, not one instruction that no second
// CPU could come between (P-G15).
//
//go:noinline
func increment(p *uint64) {
	v := *p
	scratchpad.Store(v)
	*p = v + 1
}

// scratchpad keeps the compiler from joining increment's load and store.
var scratchpad atomic.Uint64

// acquire takes the lock in one of the ways there are.
func acquire(mu *mutex.Mutex, l *Lane) error {
	switch l.Rand.Uint32N(64) {
	case 0:
		if mu.TryLock() {
			return nil
		}
		return mu.LockContext(context.Background())
	case 1:
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(l.Rand.Int64N(int64(time.Millisecond))))
		defer cancel()
		return mu.LockContext(ctx)
	}
	mu.Lock()
	return nil
}

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

// repair finishes what the dead began. It runs while its process holds the
// mutex, and may itself be killed at any point: then the next repair finds the
// same, or what is left of it.
func (m *mutexArea) repair(w *Worker, pid int) error {
	inside := int(m.Canary.Load() >> 32)
	if !mourn(w, pid, inside) {
		w.Arena.Fault(w.Index, "mutex: a repair was called for process %d (%d inside), which nobody killed", pid, inside)
	}
	w.Lane(0).Reach(labelRepairing)
	m.Repairs.Add(1)
	if m.Open.Load() != 0 {
		m.A = m.Before.Load() + 1
		m.B = m.Before.Load() + 1
		w.Arena.LaneByID(int(m.Lane.Load())).Rec[recDone].Store(m.Done.Load() + 1)
		m.Open.Store(0)
		m.Redone.Add(1)
	}
	m.Canary.Store(0)
	return nil
}

// words are the state of the mutex and of what it guards.
func (m *mutexArea) words() []Word {
	c := m.Canary.Load()
	return []Word{
		{"mutex word", lockWord(arena.Word(&m.Mu, 0))},
		{"inside", fmt.Sprintf("pid %d lane %d (0 0: nobody)", c>>32, uint32(c))},
		{"journal", fmt.Sprintf("open %d lane %d", m.Open.Load(), m.Lane.Load())},
	}
}

func (m *mutexArea) check(a *arena.Arena, f *Findings) {
	want := a.Sum(recDone)
	if m.A != want || m.B != want {
		f.Faults = append(f.Faults, fmt.Sprintf("mutex: the counters are %d and %d after %d increments under the lock", m.A, m.B, want))
	}
	if c := m.Canary.Load(); c != 0 {
		f.Faults = append(f.Faults, fmt.Sprintf("mutex: all have left, but pid %d says it is inside", c>>32))
	}
	if pid, held := m.Mu.Owner(); held {
		f.Faults = append(f.Faults, fmt.Sprintf("mutex: all have left, but the mutex says that %d holds it", pid))
	}
	f.Notes = append(f.Notes, fmt.Sprintf("lost %d", int64(want-m.A)))
	f.Metric("repairs", float64(m.Repairs.Load()))
	f.Metric("redone", float64(m.Redone.Load()))
}

// lockWord spells out a mutex's word.
func lockWord(v uint32) string {
	if v == 0 {
		return "0: free"
	}
	text := fmt.Sprintf("%#x: TID %d", v, v&(1<<30-1))
	if v&(1<<30) != 0 {
		text += " OWNER_DIED"
	}
	if v&(1<<31) != 0 {
		text += " WAITERS"
	}
	return text
}
