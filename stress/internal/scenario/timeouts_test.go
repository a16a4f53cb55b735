package scenario

import (
	"context"
	"testing"
	"time"

	"interlock/stress/internal/arena"
)

// The sequence must have counted what the writers say they stored; of one that
// was killed in a Store nobody knows.
func TestLedgerRecount(t *testing.T) {
	for _, c := range []struct {
		name           string
		stores, stored uint64
		killed         uint64
		fault          bool
	}{
		{"all told", 3, 3, 0, false},
		{"one more than told", 3, 2, 0, true},
		{"one less", 3, 4, 0, true},
		{"one more, one killed", 3, 2, 1, false},
		{"killed before it stored", 3, 3, 1, false},
		{"one less in spite of a death", 3, 4, 1, true},
		{"two more, one killed", 3, 1, 1, true},
	} {
		a := newArena(t, timeoutsPlan(), 4, 1)
		q := &timeoutsOf(a).Q
		for range c.stores {
			if err := q.Lock.Store(context.Background(), new(small)); err != nil {
				t.Fatal(err)
			}
		}
		a.Lane(1, 0).Rec[recStored].Store(c.stored)
		for slot := range int(c.killed) {
			a.Lane(slot, 0).Rec[recStoring].Store(1)
			for range 2 {
				q.settle(a, slot)
			}
		}
		q.recount(a)
		if fault := a.Faults.Load() > 0; fault != c.fault {
			t.Errorf("%s: fault %v %q", c.name, fault, a.FaultTexts())
		}
		before := a.Faults.Load()
		if q.recount(a); a.Faults.Load() != before {
			t.Errorf("%s: a second recount finds something new: %q", c.name, a.FaultTexts())
		}
	}
}

// A version that was refused, or that is older than what was stored, is seen.
func TestLedgerLook(t *testing.T) {
	for _, c := range []struct {
		name    string
		there   uint64
		stored  bool
		n       uint64
		faulted bool
	}{
		{"what was stored", version(2, 5), true, 5, false},
		{"somebody else's", version(1, 9), false, 5, false},
		{"an earlier one after a refusal", version(2, 4), false, 5, false},
		{"the refused one", version(2, 5), false, 5, true},
		{"an earlier one after a store", version(2, 4), true, 5, true},
		{"nothing yet", 0, true, 5, false},
	} {
		a := newArena(t, timeoutsPlan(), 4, 1)
		q := &timeoutsOf(a).Q
		var p small
		fill(p.words(), c.there)
		if err := q.Lock.Store(context.Background(), &p); err != nil {
			t.Fatal(err)
		}
		q.look(NewWorker(a, 2, 1).Lane(0), c.n, c.stored)
		if faulted := a.Faults.Load() > 0; faulted != c.faulted {
			t.Errorf("%s: fault %v %q", c.name, faulted, a.FaultTexts())
		}
	}
}

// Tickets follow from what the lanes did; fewer than none means that one was
// taken without the lock.
func TestBoxTickets(t *testing.T) {
	for _, c := range []struct {
		given, drawn uint64
		faults       int
	}{{0, 0, 0}, {7, 7, 0}, {7, 3, 0}, {3, 4, 1}, {9, 2, 1}} {
		a := newArena(t, timeoutsPlan(), 4, 2)
		a.Lane(0, 1).Rec[recGiven].Store(c.given)
		a.Lane(3, 0).Rec[recDrawn].Store(c.drawn)
		var f Findings
		if timeoutsOf(a).Box.check(a, &f); len(f.Faults) != c.faults {
			t.Errorf("%+v: %q", c, f.Faults)
		}
	}
}

// The dead are no longer waiting for a ticket.
func TestBoxSettle(t *testing.T) {
	a := newArena(t, timeoutsPlan(), 4, 2)
	a.Lane(1, 1).Rec[recUntimed].Store(1)
	a.Lane(2, 0).Rec[recUntimed].Store(1)
	timeoutsPlan().Settle(a, 1)
	if n := a.Sum(recUntimed); n != 1 {
		t.Errorf("%d wait, want the one that lives", n)
	}
}

// Who is counted as waiting at rest must have died so.
func TestSemaphoreCountedAsWaiting(t *testing.T) {
	for _, c := range []struct {
		counted byte
		died    int
		fault   bool
	}{{0, 0, false}, {1, 0, true}, {1, 1, false}, {0, 1, false}, {2, 1, true}} {
		a := newArena(t, semaphorePlan(), 4, 4)
		s := arena.At[semArea](a.Scenario(), 0)
		arena.Bytes(&s.Sem)[4] = c.counted // the upper half, on a little-endian machine
		if got := arena.Word(&s.Sem, 1); got != uint32(c.counted) {
			t.Skipf("%#x: another layout", got)
		}
		for j := range c.died {
			a.Lane(0, j).Rec[recPermit].Store(permitAcquiring)
		}
		s.settle(a, 0)
		s.recount(a)
		if fault := a.Faults.Load() > 0; fault != c.fault {
			t.Errorf("%+v: fault %v %q", c, fault, a.FaultTexts())
		}
	}
}

// A gift is aimed so that it meets the deadline.
func TestAimFindsTheMoment(t *testing.T) {
	for _, moment := range []time.Duration{0, 300 * time.Microsecond, -40 * time.Microsecond, 9 * time.Millisecond} {
		m := aim{step: 50 * time.Microsecond}
		near := 0
		for i := range 100 {
			m.learn(m.offset > moment) // the deadline is first if the gift comes after the moment
			if off := (m.offset - moment).Abs(); i >= 50 && off < 50*time.Microsecond {
				near++
			}
		}
		if near < 25 {
			t.Errorf("%v: within 50µs of it %d times of 50", moment, near)
		}
	}
}

// Each worker's kind is in every run, and the control is none of the library's.
func TestTimeoutsGroups(t *testing.T) {
	p := timeoutsPlan()
	seen := map[int]bool{}
	for slot := range p.Least.Procs {
		seen[groupOf(slot)] = true
	}
	if len(seen) != groups {
		t.Errorf("with %d processes there are %d groups of %d", p.Least.Procs, len(seen), groups)
	}
	a := newArena(t, p, 4, 1)
	timeoutsOf(a).Late[calm][1][onTimer].Add(time.Second)
	if s := together(timeoutsOf(a).ofGroup(calm, 1)); s.Count() != 0 {
		t.Errorf("the control counts: %d", s.Count())
	}
	if s := timeoutsOf(a).over(calm, onTimer); s.Count() != 1 || s.Max() != time.Second {
		t.Errorf("the control does not count as such: %d, %v", s.Count(), s.Max())
	}
}
