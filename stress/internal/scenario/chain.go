package scenario

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"interlock/mutex"
	"interlock/stress/internal/arena"
)

// chainArea is a mutex and what it guards, for chains of deaths: the owner is killed, who
// inherits from it is killed on its way through the repair or behind it, who inherits from
// that one is killed, and so on. The last one lives. The supervisor makes each of them stand
// still where it is to die; so no link of a chain is luck.
type chainArea struct {
	Mu mutex.Mutex
	_  [24]byte
	guarded
	LastDead atomic.Uint64 // whom the next repair has to be told of; 0: that cannot be said
	Begun    atomic.Uint64 // repairs that were begun
	_        [40]byte
}

// Orders to a worker of the chain: to lock the mutex in one of the ways there are, add 1
// to what it guards, and unlock.
const (
	opChainLock = 1 + iota
	opChainContext
	opChainTry
)

// Labels of an heir, behind those of who changes what the lock guards.
const (
	labelHalfRepaired = labelRepairing + 1 + iota
	labelRepaired
)

// Where an owner can die, and where one who inherits can besides. In a program with the
// library's marks that is also at those of an heir.
var (
	ownerDies = []uint32{LabelInside, labelOpened, labelHalf, labelClosed}
	heirDies  = append([]uint32{labelRepairing, labelHalfRepaired, labelRepaired}, ownerDies...)
)

// The marks of an heir.
const (
	namelessMark = "E-M7 inherited not recorded"
	unbegunMark  = "E-M7 about to repair"
	wholeMark    = "E-M7 repaired not whole"
)

var heirMarks = []string{namelessMark, unbegunMark, wholeMark}

const chainProcs = 6

func chainPlan() *Plan {
	var d *reaper
	return &Plan{
		Name:     "chain",
		About:    "the owner dies, its heir dies in the repair or behind it, and so on: the last one is told, no update is lost, nobody sleeps on",
		Labels:   append(slices.Clone(mutexLabels), "half repaired", "repaired"),
		Duration: time.Second,
		Shape:    Shape{Procs: chainProcs, Lanes: 1},
		Least:    Shape{Procs: chainProcs, Lanes: 1},
		Fixed:    true,
		Directed: true,
		NoKills:  true, // the links of the chains are not the supervisor's
		Area:     func(procs, lanes int) int { return arena.SizeOf[chainArea]() },
		Attach: func(w *Worker) (Body, error) {
			c := chainOf(w.Arena)
			c.Mu.OnOwnerDeath(func(pid int) error { return c.repair(w, pid) })
			f := follow(w)
			return Body{Step: func(l *Lane) error { return f.step(l, c.obey) }}, nil
		},
		Conduct: func(st Stage) {
			d = newReaper(st)
			for d.chain() && st.Sleep(0) {
			}
		},
		Check: func(a *arena.Arena, f *Findings) { d.check(a, f) },
		Words: func(a *arena.Arena) []Word {
			c := chainOf(a)
			return append([]Word{{"mutex word", lockWord(arena.Word(&c.Mu, 0))}}, c.words()...)
		},
	}
}

func chainOf(a *arena.Arena) *chainArea { return arena.At[chainArea](a.Scenario(), 0) }

// obey is one turn with the mutex.
func (c *chainArea) obey(l *Lane, order uint32) error {
	l.Label.Store(LabelWaiting)
	switch order & 0xff {
	case opChainContext:
		if err := c.Mu.LockContext(context.Background()); err != nil {
			return err
		}
	case opChainTry:
		for !c.Mu.TryLock() {
			schedYield()
		}
	default:
		c.Mu.Lock()
	}
	c.enter(l, "chain")
	l.Reach(LabelInside)
	c.add(l, nil)
	c.leave(l, "chain")
	l.Label.Store(LabelGiving)
	c.Mu.Unlock()
	return nil
}

// repair is told who died last, and finishes what that one began, or its repair did.
func (c *chainArea) repair(w *Worker, pid int) error {
	c.Begun.Add(1)
	last := int(c.LastDead.Load())
	known := mourn(w, pid, int(c.Canary.Load()>>32)) && (pid == 0 || w.Arena.GraveOf(pid) != nil)
	if !known || last != 0 && pid != last {
		w.Arena.Fault(w.Index, "chain: a repair was told that process %d died (killed: %v), but the last to die with the mutex was %d", pid, known, last)
	}
	l := w.Lane(0)
	l.Reach(labelRepairing)
	if c.Open.Load() != 0 {
		c.A = c.Before.Load() + 1 // the first half of redo
	}
	l.Reach(labelHalfRepaired)
	c.redo(w.Arena)
	l.Reach(labelRepaired)
	return nil
}

// reaper conducts the chains.
type reaper struct {
	*director
	c         *chainArea
	marks     []uint32 // the heir's, if this program has the library's marks
	anonymous bool     // the one who stands there has none
	chains    int
	deepest   int
	due       uint64 // repairs that must have begun
	perhaps   uint64 // and those that may have, besides
}

func newReaper(st Stage) *reaper {
	r := &reaper{director: direct(newConductor(st), nil), c: chainOf(st.Arena())}
	all := r.a.Points()
	for i := range int(all.Marks.Load()) {
		if slices.Contains(heirMarks, all.Name(i)) {
			r.marks = append(r.marks, arena.PointBase+uint32(i))
		}
	}
	return r
}

// chain plays one chain of deaths, to the end: what it guards is right, and nobody waits.
func (r *reaper) chain() bool {
	if !r.until("a worker that was killed is not replaced", r.allReady) {
		return false
	}
	who := r.shuffled()
	deaths := 1 + r.st.Random(chainProcs-2)
	play := r.queued
	if r.st.Random(3) == 0 {
		play = r.lateComers
	}
	if !play(who, deaths) || !r.until("chain: a mutex stays locked when all have had it", r.free) {
		return false
	}
	r.chains++
	r.due++ // the one who lived
	r.deepest = max(r.deepest, deaths)
	r.judge(deaths)
	return true
}

// queued: all wait when the first one dies. At least two live on.
func (r *reaper) queued(who []int, deaths int) bool {
	stands, rest := who[0], who[1:]
	if _, ok := r.stand(stands, opChainLock, ownerDies); !ok {
		return false
	}
	r.anonymous = false
	for _, slot := range rest {
		if !r.sleeper(slot, uint32(opChainLock+r.st.Random(2))) {
			return false
		}
	}
	for ; deaths > 1; deaths-- {
		next := r.trap(rest, slices.Concat(heirDies, r.marks))
		r.kill(stands, true)
		if !r.until(fmt.Sprintf("chain: nobody inherits from a dead owner, and %d sleep behind it", len(rest)), func() bool { return r.caught(rest) >= 0 }) {
			return false
		}
		stands = r.caught(rest)
		r.stood(next, true)
		rest = slices.DeleteFunc(rest, func(slot int) bool { return slot == stands })
	}
	r.trap(rest, nil)
	calm := len(rest) < 3 || r.st.Random(2) == 0
	r.kill(stands, calm)
	if !calm {
		rest = r.strike(rest)
	}
	return r.play(scene{what: "chain, behind the dead", waiters: rest, free: r.free, wanted: 1}) &&
		r.play(scene{what: "chain, behind the one who lived", waiters: rest, free: r.free, wanted: len(rest), calm: calm})
}

// strike kills one of those asleep right behind the owner: perhaps the one that is just
// woken, has just inherited, or repairs. It returns the others.
func (r *reaper) strike(rest []int) []int {
	r.c.LastDead.Store(0)
	r.perhaps++
	r.st.Kill(rest[0], false)
	return rest[1:]
}

// lateComers: nobody waits. Each comes to an orphan, and dies; the last one lives.
func (r *reaper) lateComers(who []int, deaths int) bool {
	for i, slot := range who[:deaths] {
		where := ownerDies
		if i > 0 {
			where = slices.Concat(heirDies, r.marks)
		}
		label, ok := r.stand(slot, uint32(opChainLock+r.st.Random(3)), where)
		if !ok {
			return false
		}
		r.stood(label, i > 0)
		r.kill(slot, true)
	}
	return r.do(who[deaths], uint32(opChainLock+r.st.Random(3)))
}

// stand has slot go for the mutex and stand still at one of the labels.
func (r *reaper) stand(slot int, op uint32, where []uint32) (label uint32, ok bool) {
	label = r.trap([]int{slot}, where)
	r.order(slot, op)
	return label, r.until(fmt.Sprintf("chain: worker %d does not get the mutex", slot), func() bool { return r.caught([]int{slot}) >= 0 })
}

// trap sets a trap for each of these slots at one of the labels, or takes it away.
func (r *reaper) trap(slots []int, where []uint32) (label uint32) {
	if len(where) > 0 {
		label = where[r.st.Random(len(where))]
	}
	for _, slot := range slots {
		r.a.Slot(slot).Trap.Store(label)
	}
	return label
}

// caught is the slot whose worker stands in the trap, -1 if none.
func (r *reaper) caught(slots []int) int {
	for _, slot := range slots {
		if r.a.Slot(slot).Trapped.Load() != 0 {
			return slot
		}
	}
	return -1
}

// stood notes what the one who stands at label has done, and what its death will come to:
// who has not written down its name is not known to the next one, who repairs for the one
// before.
func (r *reaper) stood(label uint32, heir bool) {
	name := chainPlan().TargetName(r.a.Points(), label)
	r.anonymous = name == namelessMark
	if heir && !r.anonymous && name != unbegunMark {
		r.due++
	}
}

// kill kills the one who stands there with the mutex. told: the next to have it begins a
// repair on its behalf. One who dies at the library's own marks before that does not; then
// the one after learns of that one, and of whoever had changed something.
func (r *reaper) kill(slot int, told bool) {
	if !r.anonymous {
		r.c.LastDead.Store(uint64(r.st.PID(slot)))
	}
	r.st.Kill(slot, told && len(r.marks) == 0)
}

// free says that nobody has the mutex, or is dead and had it.
func (r *reaper) free() bool { return arena.Word(&r.c.Mu, 0)&(1<<30-1) == 0 }

func (r *reaper) allReady() bool {
	for slot := range r.orders {
		if !r.st.Ready(slot) {
			return false
		}
	}
	return true
}

func (r *reaper) shuffled() []int {
	who := make([]int, len(r.orders))
	for i := range who {
		j := r.st.Random(i + 1)
		who[i], who[j] = who[j], i
	}
	return who
}

// judge compares what is there after a chain, when nobody is at it, with what was done.
func (r *reaper) judge(deaths int) {
	c, done := r.c, r.a.Sum(recDone)
	if c.A != done || c.B != done {
		r.a.Fault(-1, "chain: after a chain of %d deaths the counters are %d and %d, and %d updates were made", deaths, c.A, c.B, done)
	}
	if begun := c.Begun.Load(); begun < r.due || begun > r.due+r.perhaps {
		r.a.Fault(-1, "chain: %d times, or perhaps %d more, somebody came to an orphan and repaired it, and %d repairs were begun", r.due, r.perhaps, begun)
	}
}

func (r *reaper) check(a *arena.Arena, f *Findings) {
	r.c.check(a, f, "chain")
	f.Notes = append(f.Notes, fmt.Sprintf("chains %d deepest %d repairs begun %d finished %d found by a look %d",
		r.chains, r.deepest, r.c.Begun.Load(), r.c.Repairs.Load(), r.rescued))
	f.Metric("chains", float64(r.chains))
}
