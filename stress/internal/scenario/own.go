package scenario

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"interlock/stress/internal/arena"
)

// ownArea is what a lock guards that is not the library's, and of which nothing is known
// but that it is there. Behind it is the lock's own memory.
//
// Such a lock tells nobody of a dead owner. So whoever gets it looks who is inside: one
// who was killed has left it to us, and what it began is finished; anybody else should
// not be there. That is counted, and the run goes on: what it cost is seen at the end.
type ownArea struct {
	guarded
	Meetings atomic.Uint64    // times that two were inside
	First    [2]atomic.Uint64 // who was, the first time
	_        [32]byte
}

// Own is a lock of somebody else's.
type Own struct {
	Name   string
	Size   int // bytes of shared memory
	Attach func(mem []byte) (sync.Locker, error)
	State  func(mem []byte) string // spells its memory out; may be nil
}

const ownAlign = 64

func ownOffset() int { return (arena.SizeOf[ownArea]() + ownAlign - 1) &^ (ownAlign - 1) }

// Plan is the scenario of the mutex with this lock in its place.
func (own Own) Plan() *Plan {
	area := func(a *arena.Arena) *ownArea { return arena.At[ownArea](a.Scenario(), 0) }
	memory := func(a *arena.Arena) []byte { return a.Scenario()[ownOffset():][:own.Size:own.Size] }
	p := mutexPlan()
	p.Name, p.About, p.Marks = own.Name, "a plain counter under a lock that is not the library's", nil
	p.Area = func(procs, lanes int) int { return ownOffset() + own.Size }
	p.Attach = func(w *Worker) (Body, error) {
		lock, err := own.Attach(memory(w.Arena))
		if err != nil {
			return Body{}, err
		}
		o := area(w.Arena)
		return Body{Step: func(l *Lane) error { return o.step(l, lock) }}, nil
	}
	p.Check = func(a *arena.Arena, f *Findings) { area(a).check(a, f, own.Name) }
	p.Words = func(a *arena.Arena) []Word {
		words := area(a).words(a)
		if own.State != nil {
			words = append(words, Word{"the lock", own.State(memory(a))})
		}
		return words
	}
	return p
}

// step is one increment.
func (o *ownArea) step(l *Lane, lock sync.Locker) error {
	l.Label.Store(LabelWaiting)
	begin := l.Begin()
	lock.Lock()
	begin = l.Took(arena.Wait, begin)
	o.enter(l)
	l.Reach(LabelInside)
	o.add(l, l.sometimes())
	o.leave(l)
	l.Label.Store(LabelGiving)
	l.gives()
	lock.Unlock()
	l.Took(arena.Hold, begin)
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
	return nil
}

// sometimes is a pause in the middle of the change, or none: whoever comes in there shows,
// also where one CPU is all there is.
func (l *Lane) sometimes() func() {
	if l.Rand.Uint32N(16) != 0 {
		return nil
	}
	return func() {
		runtime.Gosched()
		schedYield()
	}
}

// enter is called by who has just got the lock.
func (o *ownArea) enter(l *Lane) {
	switch c := o.Canary.Load(); {
	case c == 0:
	case l.W.Arena.Mourn(int(c >> 32)):
		l.Reach(labelRepairing)
		o.redo(l.W.Arena)
	default:
		o.meet(c, l.name())
	}
	o.Canary.Store(l.name())
}

// leave is called by who is about to give the lock away.
func (o *ownArea) leave(l *Lane) {
	if c := o.Canary.Load(); c != l.name() {
		o.meet(l.name(), c)
	}
	o.Canary.Store(0)
}

// meet writes down that two were inside; 0 is one who has left meanwhile.
func (o *ownArea) meet(one, other uint64) {
	if o.Meetings.Add(1) == 1 {
		o.First[0].Store(one)
		o.First[1].Store(other)
	}
}

// who names a canary.
func who(canary uint64) string {
	if canary == 0 {
		return "another, who has left"
	}
	return fmt.Sprintf("lane %d (pid %d)", uint32(canary)-1, canary>>32)
}

// words say who is inside, and whether that one is still there.
func (o *ownArea) words(a *arena.Arena) []Word {
	state := "nobody"
	if c := o.Canary.Load(); c != 0 {
		state = who(c)
		if g := a.GraveOf(int(c >> 32)); g != nil {
			state += fmt.Sprintf(", killed %v ago: nobody has given the lock back", time.Duration(arena.Now()-g.At.Load()).Round(time.Millisecond))
		}
	}
	words := []Word{{"inside", state}}
	if o.Open.Load() != 0 {
		words = append(words, Word{"what it guards", fmt.Sprintf("half changed by lane %d", o.Lane.Load())})
	}
	if n := o.Meetings.Load(); n > 0 {
		words = append(words, Word{"two inside", fmt.Sprintf("%d times; the first: %s and %s", n, who(o.First[0].Load()), who(o.First[1].Load()))})
	}
	return words
}

// check judges what is left when all have left. Where two were inside at once the journal
// is worth nothing; then who has finished an operation says how much there should be.
func (o *ownArea) check(a *arena.Arena, f *Findings, name string) {
	n := o.Meetings.Load()
	if n == 0 {
		o.guarded.check(a, f, name)
		return
	}
	f.Faults = append(f.Faults, fmt.Sprintf("%s: two were inside %d times; the first: %s, and %s", name, n, who(o.First[0].Load()), who(o.First[1].Load())))
	ops := a.Ops()
	if lost := int64(ops - o.A); lost > 0 {
		f.Faults = append(f.Faults, fmt.Sprintf("%s: %d updates lost: the counters are %d and %d after %d increments", name, lost, o.A, o.B, ops))
	}
	f.Metric("meetings", float64(n))
}
