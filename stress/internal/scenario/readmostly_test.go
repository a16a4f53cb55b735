package scenario

import (
	"context"
	"fmt"
	"testing"
	"time"

	"interlock/stress/internal/arena"
)

// What the table's accounts make of a version at the end: those that returned are in it,
// those of which nobody knows may be.
func TestReadMostlyCheckSees(t *testing.T) {
	p := readMostlyPlan()
	for _, c := range []struct {
		name  string
		harm  func(r *rowsArea)
		fault bool
	}{
		{"nothing", func(r *rowsArea) {}, false},
		{"lost", func(r *rowsArea) { r.Rows[1].Account[inLock].Confirmed.Add(1) }, true},
		{"made up", func(r *rowsArea) { r.Rows[1].Account[inBuffer].Confirmed.Store(1) }, true},
		{"perhaps made", func(r *rowsArea) {
			r.Rows[1].Account[inBuffer].Confirmed.Store(1)
			r.Rows[1].Account[inBuffer].Perhaps.Store(1)
		}, false},
		{"another row's", func(r *rowsArea) {
			var v large
			fill(v.W[:], rowValue(2, 2))
			r.Rows[1].Lock.Store(context.Background(), &v)
		}, true},
	} {
		a := newArena(t, p, 1, 1)
		l, r := NewWorker(a, 0, 1).Lane(0), rowsOf(a)
		for range 2 {
			for i := range r.Rows {
				if err := r.updateBoth(l, i); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.harm(r)
		if faults := append(check(p, a), a.FaultTexts()...); len(faults) > 0 != c.fault {
			t.Errorf("%s: %q", c.name, faults)
		}
	}
}

// What a reader takes for a fault.
func TestReadMostlyReadSees(t *testing.T) {
	for _, c := range []struct {
		name  string
		harm  func(r *row, own *rowsReader)
		fault bool
	}{
		{"nothing", func(r *row, own *rowsReader) {}, false},
		{"stale", func(r *row, own *rowsReader) { r.Account[inLock].Confirmed.Add(1) }, true},
		{"back", func(r *row, own *rowsReader) { own.seen[3][inLock] = 2 }, true},
		{"too new", func(r *row, own *rowsReader) { r.Account[inLock].Begun.Store(0) }, true},
		{"torn", func(r *row, own *rowsReader) {
			var v large
			fill(v.W[:], rowValue(3, 1))
			v.W[7]++
			r.Lock.Store(context.Background(), &v)
		}, true},
		{"the one that is changed last ahead", func(r *row, own *rowsReader) {
			var v large
			fill(v.W[:], rowValue(3, 2))
			r.Account[inLock].Begun.Store(2)
			r.Lock.Store(context.Background(), &v)
		}, true},
	} {
		a := newArena(t, readMostlyPlan(), 1, 1)
		l, r, own := NewWorker(a, 0, 1).Lane(0), rowsOf(a), &rowsReader{}
		if err := r.updateBoth(l, 3); err != nil {
			t.Fatal(err)
		}
		c.harm(&r.Rows[3], own)
		for range 20 { // a TryLoad that finds a writer is refused, but here is none
			if err := r.readBoth(l, own, 3); err != nil {
				t.Fatal(err)
			}
		}
		if (a.Faults.Load() > 0) != c.fault {
			t.Errorf("%s: %q", c.name, a.FaultTexts())
		}
	}
}

// Who dies in an update leaves one of which nobody knows, once.
func TestReadMostlySettle(t *testing.T) {
	a := newArena(t, readMostlyPlan(), 2, 2)
	a.Lane(1, 0).Rec[recUpdating].Store(1 + 2*5 + inBuffer)
	a.Lane(0, 0).Rec[recUpdating].Store(1 + 2*6) // alive
	for range 2 {
		settleRows(a, 1)
	}
	for i := range rowsOf(a).Rows {
		for obj := range 2 {
			want := uint64(0)
			if i == 5 && obj == inBuffer {
				want = 1
			}
			if got := rowsOf(a).Rows[i].Account[obj].Perhaps.Load(); got != want {
				t.Errorf("row %d object %d: %d", i, obj, got)
			}
		}
	}
}

// A lane that gets nothing done is found, though others do; a lane whose worker was
// replaced starts anew.
func TestProgressSees(t *testing.T) {
	a := newArena(t, readMostlyPlan(), 2, 1)
	st := &stillStage{arena: a}
	p := newProgress(st)
	for i := range 100 {
		a.Lane(0, 0).Ops.Add(1)
		a.Slot(1).Gen.Store(uint32(i))
		if !p.look() {
			t.Fatalf("found in look %d: %q", i, st.hangs)
		}
		p.lanes[0].left.left = -1
		p.lanes[1].left.left = -1
	}
	a.Lane(0, 0).Ops.Add(1)
	if p.look() || len(st.hangs) != 1 {
		t.Errorf("not found: %q", st.hangs)
	}
}

// stillStage is a stage on which nothing happens. What a test does not need it has not.
type stillStage struct {
	Stage
	arena *arena.Arena
	hangs []string
}

func (s *stillStage) Arena() *arena.Arena     { return s.arena }
func (s *stillStage) Patience() time.Duration { return time.Hour }
func (s *stillStage) Slow() bool              { return false }
func (s *stillStage) PID(int) int             { return 0 }
func (s *stillStage) Hang(format string, args ...any) {
	s.hangs = append(s.hangs, fmt.Sprintf(format, args...))
}
