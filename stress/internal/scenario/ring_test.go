package scenario

import (
	"fmt"
	"testing"

	"interlock/stress/internal/arena"
)

// newRing is a ring with three items in it, of lane 0, and its arena: lane 1 consumes.
func newRing(t *testing.T) (*arena.Arena, *ringArea) {
	t.Helper()
	a := newArena(t, ringPlan(), 2, 1)
	l, settled := NewWorker(a, 0, 1).Lane(0), false
	for range 3 {
		if err := ringOf(a).step(l, &settled); err != nil {
			t.Fatal(err)
		}
	}
	return a, ringOf(a)
}

// dyingTurn is one turn of a lane up to its n-th store, and whether nobody can say then
// what became of a permit.
func dyingTurn(a *arena.Arena, r *ringArea, produce bool, n int) (doubtful bool) {
	id, first, second := 1, &r.Filled, &r.Free
	if produce {
		id, first, second = 0, second, first
	}
	lane := a.LaneByID(id)
	rec, moves := &lane.Rec[recTurn], &lane.Rec[recTaken]
	item, kind, at := r.Ring[r.Head%ringSize], uint64(ringPop), r.Head
	if produce {
		moves, kind, at = &lane.Rec[recPushed], ringPush, r.Tail
		item = moves.Load() + 1
	}
	before := moves.Load() & 0xff << 8
	steps := []func(){
		func() { rec.Store(before | turnTaking) },
		func() { first.TryAcquire() },
		func() { rec.Store(before | turnHas) },
		func() { r.Inside.Store(7); r.Lane.Store(uint64(id)); r.Item.Store(item); r.At.Store(at) },
		func() { r.Number.Store(moves.Load() + 1) },
		func() { r.Open.Store(kind) },
		func() { r.redo(a); r.Open.Store(kind) },
		func() { r.Open.Store(0) },
		func() { r.Inside.Store(0) },
		func() { rec.Store(turnGiving) },
		func() { _ = second.Release() },
		func() { rec.Store(turnNone) },
	}
	for _, step := range steps[:min(n, len(steps))] {
		step()
	}
	a.Bury(7, true)
	return n == 1 || n == 2 || n == 10 || n == 11
}

const turnStores = 12

// Wherever a turn ends, the recount finds what the ring says there should be: with what
// the dead began still open, or repaired, or settled by the successor, who is at work again.
func TestRingRecountFromEveryPoint(t *testing.T) {
	after := map[string]func(a *arena.Arena, r *ringArea, id int){
		"open":     func(a *arena.Arena, r *ringArea, id int) {},
		"repaired": func(a *arena.Arena, r *ringArea, id int) { r.repair(NewWorker(a, 1, 2), 7) },
		"settled": func(a *arena.Arena, r *ringArea, id int) {
			l, settled := NewWorker(a, id, 2).Lane(0), false
			r.repair(l.W, 7)
			for range 2 {
				_ = r.step(l, &settled)
			}
		},
	}
	for name, then := range after {
		for _, produce := range []bool{true, false} {
			for n := range turnStores + 1 {
				for _, harm := range []int{0, -1, 1} {
					a, r := newRing(t)
					doubtful := dyingTurn(a, r, produce, n)
					then(a, r, map[bool]int{true: 0, false: 1}[produce])
					switch harm {
					case -1:
						r.Free.TryAcquire()
					case 1:
						_ = r.Free.Release()
					}
					r.recount(a)
					if harm == 0 { // what was finished already is repaired once more
						r.repair(NewWorker(a, 1, 3), 7)
						r.recount(a)
					}
					where := fmt.Sprintf("%s, produce %v, killed after %d stores, %+d free", name, produce, n, harm)
					if faults := a.FaultTexts(); len(faults) > 0 != (harm != 0) && !(doubtful && harm != 0) {
						t.Errorf("%s: %q", where, faults)
					}
					if faults := check(ringPlan(), a); harm == 0 && len(faults) > 0 {
						t.Errorf("%s: %q", where, faults)
					}
				}
			}
		}
	}
}

// A permit too many shows at once to who has it.
func TestRingPermitTooMany(t *testing.T) {
	for _, produce := range []bool{true, false} {
		a, r := newRing(t)
		l := NewWorker(a, map[bool]int{true: 0, false: 1}[produce], 1).Lane(0)
		settled, extra := true, 0
		for a.Faults.Load() == 0 && extra <= ringSize {
			_ = r.Free.Release()
			_ = r.Filled.Release()
			extra++
			_ = r.step(l, &settled)
		}
		if a.Faults.Load() == 0 {
			t.Errorf("produce %v: not seen", produce)
		}
	}
}
