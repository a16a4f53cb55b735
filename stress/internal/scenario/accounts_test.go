package scenario

import (
	"fmt"
	"sync/atomic"
	"testing"

	"interlock/stress/internal/arena"
)

// The models are only as good as their accounts: these tests leave the words
// as a kill would, at each point, and look at what the accounts make of it.

func newArena(t *testing.T, p *Plan, procs, lanes int) *arena.Arena {
	t.Helper()
	a, err := arena.Create(procs, lanes, p.Area(procs, lanes))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	a.Phase.Store(arena.PhaseRun)
	if p.Setup != nil {
		p.Setup(a)
	}
	return a
}

func check(p *Plan, a *arena.Arena) []string {
	var f Findings
	p.Check(a, &f)
	return f.Faults
}

// A repair completes a change from every point at which its owner may have
// been killed, and doing it twice changes nothing.
func TestMutexRepairFromEveryPoint(t *testing.T) {
	p := mutexPlan()
	for killAt := range 12 {
		a := newArena(t, p, 2, 1)
		m := arena.At[mutexArea](a.Scenario(), 0)
		l := NewWorker(a, 0, 1).Lane(0)
		for range 3 {
			m.add(l, nil)
		}
		// The stores of add, in order; the first killAt of them happen.
		steps := []func(){
			func() { m.Lane.Store(0) },
			func() { m.Before.Store(m.A) },
			func() { m.Done.Store(l.Rec[recDone].Load()) },
			func() { m.Open.Store(1) },
			func() { m.A++ },
			func() { m.B++ },
			func() { l.Rec[recDone].Store(m.Done.Load() + 1) },
			func() { m.Open.Store(0) },
		}
		m.Canary.Store(7<<32 | 1)
		a.Bury(7, true)
		for _, step := range steps[:min(killAt, len(steps))] {
			step()
		}
		w := NewWorker(a, 1, 1)
		for range 2 {
			if err := m.repair(w, 7); err != nil {
				t.Fatal(err)
			}
		}
		if faults := append(check(p, a), a.FaultTexts()...); len(faults) > 0 {
			t.Errorf("killed after %d stores: %q", killAt, faults)
		}
		want := uint64(3)
		if killAt >= 4 {
			want = 4
		}
		if m.A != want || m.B != want {
			t.Errorf("killed after %d stores: %d %d, want %d", killAt, m.A, m.B, want)
		}
	}
}

// A lost update, a torn one and a foreign canary are seen.
func TestMutexCheckSees(t *testing.T) {
	p := mutexPlan()
	for name, harm := range map[string]func(m *mutexArea){
		"lost":   func(m *mutexArea) { m.A--; m.B-- },
		"torn":   func(m *mutexArea) { m.B-- },
		"extra":  func(m *mutexArea) { m.A++; m.B++ },
		"inside": func(m *mutexArea) { m.Canary.Store(1) },
	} {
		a := newArena(t, p, 1, 1)
		m := arena.At[mutexArea](a.Scenario(), 0)
		m.add(NewWorker(a, 0, 1).Lane(0), nil)
		if faults := check(p, a); len(faults) > 0 {
			t.Fatalf("before any harm: %q", faults)
		}
		harm(m)
		if faults := check(p, a); len(faults) == 0 {
			t.Errorf("%s: not seen", name)
		}
	}
}

// Who is mourned: the dead owner and, if that one had taken the lock over from
// another, that other too. Nobody may be taken for dead who was not killed.
func TestMourning(t *testing.T) {
	a := newArena(t, mutexPlan(), 2, 1)
	w := NewWorker(a, 0, 1)
	one, two := a.Bury(11, true), a.Bury(12, true)
	for _, c := range []struct {
		pid, inside int
		ok          bool
	}{
		{11, 11, true}, {12, 11, true}, {12, 0, true}, // plain; a chain; died before it was inside
		{99, 0, true},                                     // the name of the owner before, who lives
		{99, 99, false}, {11, 99, false}, {99, 11, false}, // a living one
		{0, 11, false}, // inside means recorded, so the mutex knows the name
	} {
		if ok := mourn(w, c.pid, c.inside); ok != c.ok {
			t.Errorf("repair for %d with %d inside: %v", c.pid, c.inside, ok)
		}
	}
	if one.Repaired.Load() == 0 || two.Repaired.Load() == 0 {
		t.Error("a dead one was not mourned")
	}
}

// The value must be exact without deaths, and within bounds with them.
func TestSemaphoreRecount(t *testing.T) {
	p := semaphorePlan()
	for _, c := range []struct {
		name               string
		value              int // at rest, of 4
		certain, ambiguous uint64
		fault              bool
	}{
		{"all there", 4, 0, 0, false},
		{"one lost", 3, 0, 0, true},
		{"one made", 5, 0, 0, true},
		{"one died", 3, 1, 0, false},
		{"one died and came back by itself", 4, 1, 0, true},
		{"two gone, one died", 2, 1, 0, true},
		{"perhaps taken", 3, 0, 1, false},
		{"perhaps not taken", 4, 0, 1, false},
		{"more gone than perhaps", 2, 0, 1, true},
		{"more than all in spite of perhaps", 5, 0, 2, true},
	} {
		a := newArena(t, p, 4, 4)
		s := arena.At[semArea](a.Scenario(), 0)
		if s.Permits.Load() != 4 {
			t.Fatalf("%d permits", s.Permits.Load())
		}
		s.Sem.Init(uint32(c.value))
		s.Certain.Store(c.certain)
		s.Ambiguous.Store(c.ambiguous)
		s.recount(a)
		if fault := a.Faults.Load() > 0; fault != c.fault {
			t.Errorf("%s: fault %v", c.name, fault)
		}
		if !c.fault && (s.Sem.Value() != 4 || s.Certain.Load()+s.Ambiguous.Load() != 0) {
			t.Errorf("%s: not restored: %d", c.name, s.Sem.Value())
		}
	}
}

// A dead worker's lanes go into the accounts once, and its room is free again.
func TestSemaphoreSettle(t *testing.T) {
	a := newArena(t, semaphorePlan(), 2, 4)
	s := arena.At[semArea](a.Scenario(), 0)
	for j, state := range []uint64{permitNone, permitAcquiring, permitHeld, permitReleasing} {
		a.Lane(1, j).Rec[recPermit].Store(state)
	}
	a.Lane(0, 0).Rec[recPermit].Store(permitHeld) // alive
	s.Rooms[0].Who.Store(9<<24 | 1)               // lane 0, alive
	s.Rooms[1].Who.Store(9<<24 | 1 + 6)           // lane 2 of slot 1
	for range 2 {
		s.settle(a, 1)
	}
	if s.Certain.Load() != 1 || s.Ambiguous.Load() != 2 {
		t.Errorf("certain %d ambiguous %d, want 1 and 2", s.Certain.Load(), s.Ambiguous.Load())
	}
	if s.Rooms[0].Who.Load() == 0 || s.Rooms[1].Who.Load() != 0 {
		t.Errorf("rooms %#x %#x", s.Rooms[0].Who.Load(), s.Rooms[1].Who.Load())
	}
}

// With every room taken by others, who holds a permit is one too many.
func TestSemaphoreOneTooMany(t *testing.T) {
	a := newArena(t, semaphorePlan(), 2, 4)
	s := arena.At[semArea](a.Scenario(), 0)
	l := NewWorker(a, 0, 1).Lane(0)
	if s.enter(l, 1); a.Faults.Load() != 0 {
		t.Fatal("a free room was not found")
	}
	for i := range s.Permits.Load() {
		s.Rooms[i].Who.Store(1<<24 | i + 2)
	}
	if s.enter(l, 1); a.Faults.Load() == 0 {
		t.Error("not seen")
	}
}

// A repair completes a push and a pop from every point, twice as well as once.
func TestRingRepairFromEveryPoint(t *testing.T) {
	p := condvarPlan()
	for _, kind := range []uint64{ringPush, ringPop} {
		for killAt := range 6 {
			a := newArena(t, p, 2, 1)
			r := arena.At[condArea](a.Scenario(), 0)
			producer, consumer := NewWorker(a, 0, 1).Lane(0), NewWorker(a, 1, 1).Lane(0)
			r.Ring[0], r.Tail = 1, 1 // lane 0's item 1
			producer.Rec[recPushed].Store(1)
			a.Bury(7, true)
			r.Inside.Store(7)
			var steps []func()
			if kind == ringPush {
				r.Lane.Store(0)
				r.Item.Store(2)
				r.At.Store(1)
				r.Number.Store(2)
				steps = []func(){
					func() { r.Ring[1] = 2 },
					func() { r.Tail = 2 },
					func() { producer.Rec[recPushed].Store(2) },
					func() { r.Open.Store(0) },
				}
			} else {
				r.Lane.Store(1)
				r.Item.Store(1)
				r.At.Store(0)
				r.Number.Store(1)
				steps = []func(){
					func() { consumer.Rec[recHand].Store(1) },
					func() { consumer.Rec[recTaken].Store(1) },
					func() { producer.Rec[recPopped].Store(1) },
					func() { r.Head = 1 },
					func() { r.Open.Store(0) },
				}
			}
			r.Open.Store(kind)
			for _, step := range steps[:min(killAt, len(steps))] {
				step()
			}
			w := NewWorker(a, 1, 2)
			for range 2 {
				if err := r.repair(w, 7); err != nil {
					t.Fatal(err)
				}
			}
			where := fmt.Sprintf("kind %d killed after %d stores", kind, killAt)
			if faults := append(check(p, a), a.FaultTexts()...); len(faults) > 0 {
				t.Errorf("%s: %q", where, faults)
			}
			if kind == ringPush && (r.Tail != 2 || r.Ring[1] != 2) || kind == ringPop && (r.Head != 1 || consumer.Rec[recTaken].Load() != 1) {
				t.Errorf("%s: not completed", where)
			}
		}
	}
}

// An item lost, doubled or out of order is seen when it is popped.
func TestRingOrder(t *testing.T) {
	a := newArena(t, condvarPlan(), 2, 1)
	r := arena.At[condArea](a.Scenario(), 0)
	l := NewWorker(a, 1, 1).Lane(0)
	a.Lane(0, 0).Rec[recPopped].Store(4)
	if r.checked(l, 5); a.Faults.Load() != 0 {
		t.Errorf("the next item: %q", a.FaultTexts())
	}
	for i, item := range []uint64{4, 6, 0, 9<<40 | 1} {
		if r.checked(l, item); a.Faults.Load() != uint32(i+1) {
			t.Errorf("item %#x after 4: not seen", item)
		}
	}
}

// A payload of two writes shows, wherever the border is.
func TestTornPayloadShows(t *testing.T) {
	for border := 1; border < 8; border++ {
		var a, b small
		fill(a.words(), 5)
		fill(b.words(), 6)
		copy(a.W[:border], b.W[:border])
		if _, ok := whole(a.words()); ok {
			t.Errorf("border at %d: not seen", border)
		}
	}
	var zero small
	if v, ok := whole(zero.words()); !ok || v != 0 {
		t.Error("fresh memory is not a whole version 0")
	}
}

// A writer that was killed in the last write of all is excused, and a Store makes up for it;
// a value that is torn though somebody came to the end of a later write is not, nor is one
// that nobody began to write.
func TestATornValueAtTheEnd(t *testing.T) {
	p := seqlockPlan()
	for _, c := range []struct {
		begun, known, seen uint64 // by the dead writer, by the one after it, by a reader
		fine               bool
	}{{5, 4, 4, true}, {5, 5, 0, false}, {5, 4, 6, false}, {5, 6, 4, false}, {0, 0, 0, false}} {
		a := newArena(t, p, 4, 1)
		s := arena.At[seqArea](a.Scenario(), 0)
		writer := a.LaneByID(0)
		s.Issued[objHugeLock].N.Store(max(c.begun, c.known, c.seen))
		writer.Rec[recSeqBegun+objHugeLock].Store(c.begun)
		writer.Rec[objHugeLock].Store(c.known)
		a.LaneByID(2).Rec[objHugeLock].Store(c.seen)
		torn := arena.Bytes(&s.HugeL)
		arena.At[atomic.Uint64](torn, 0).Store(7)       // odd
		arena.At[atomic.Uint32](torn, 8).Store(1 << 30) // the writers' lock, as the kernel leaves it at its owner's death
		faults := check(p, a)
		if c.fine != (len(faults) == 0) || c.fine != (s.AtEnd.Load() == 1) {
			t.Errorf("%+v: mended %d, %q", c, s.AtEnd.Load(), faults)
		}
		if err := p.Cleanup(a); err != nil {
			t.Error(err)
		}
	}
}

// An initialiser that was killed when it had finished is excused; another one
// is not.
func TestSegmentAccounts(t *testing.T) {
	p := segmentPlan()
	for _, c := range []struct {
		done, killedDone int
		fault            bool
	}{{1, 0, false}, {0, 0, true}, {2, 0, true}, {2, 1, false}, {3, 1, true}} {
		a := newArena(t, p, 1, 2)
		s := arena.At[segArea](a.Scenario(), 0)
		s.Round.Store(1)
		s.Names[1].Opened.Store(1)
		s.Names[1].Done.Store(uint64(c.done))
		for j := range c.killedDone {
			a.Lane(0, j).Rec[recSegState].Store(segInitDone)
			a.Lane(0, j).Rec[recSegRound].Store(1)
		}
		settleSegment(a, 0)
		if faults := check(p, a); len(faults) > 0 != c.fault {
			t.Errorf("%+v: %q", c, faults)
		}
	}
}

// The control fails when the count is right.
func TestLostUpdateMustLose(t *testing.T) {
	p := lostUpdate()
	a := newArena(t, p, 2, 1)
	area := arena.At[lostUpdateArea](a.Scenario(), 0)
	a.Lane(0, 0).Rec[0].Store(100)
	area.Counter.Store(60)
	if faults := check(p, a); len(faults) > 0 {
		t.Errorf("40 lost: %q", faults)
	}
	area.Counter.Store(100)
	if faults := check(p, a); len(faults) == 0 {
		t.Error("nothing lost: passes")
	}
}
