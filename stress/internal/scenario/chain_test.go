package scenario

import (
	"testing"

	"interlock/stress/internal/arena"
)

// A chain of repairs that end anywhere leaves what one repair leaves.
func TestChainRepairsFromEveryPoint(t *testing.T) {
	p := chainPlan()
	for died := range 4 { // stores of the owner
		for ended := range 3 { // stores of the first heir's repair
			a := newArena(t, p, 2, 1)
			c, l := chainOf(a), NewWorker(a, 0, 1).Lane(0)
			c.add(l, nil)
			c.Before.Store(1)
			c.Done.Store(1)
			c.Canary.Store(7<<32 | 1)
			a.Bury(7, true)
			owner := []func(){func() { c.Open.Store(1) }, func() { c.A++ }, func() { c.B++ }}
			for _, step := range owner[:died] {
				step()
			}
			if heir := []func(){func() { c.A = 2 }, func() { c.B = 2 }}; died > 0 {
				for _, step := range heir[:ended] {
					step()
				}
			}
			a.Bury(8, true)
			c.LastDead.Store(8)
			if err := c.repair(NewWorker(a, 1, 1), 8); err != nil {
				t.Fatal(err)
			}
			want := uint64(1)
			if died > 0 {
				want = 2
			}
			r := &reaper{c: c, director: direct(&conductor{a: a}, nil), due: 1}
			if r.judge(2); a.Faults.Load() > 0 || c.A != want || c.B != want {
				t.Errorf("owner died after %d stores, its heir after %d: %d and %d, want %d: %q", died, ended, c.A, c.B, want, a.FaultTexts())
			}
		}
	}
}

// A repair on behalf of somebody else than the last to die, or of a living one, is seen; so
// are a lost update, and a repair that did not run.
func TestChainSees(t *testing.T) {
	for name, c := range map[string]struct {
		harm  func(a *arena.Arena, r *reaper)
		fault bool
	}{
		"nothing": {func(a *arena.Arena, r *reaper) {}, false},
		"told of the one before": {func(a *arena.Arena, r *reaper) {
			a.Bury(6, true)
			_ = r.c.repair(NewWorker(a, 1, 1), 6)
			r.due++
		}, true},
		"told of a living one": {func(a *arena.Arena, r *reaper) {
			r.c.LastDead.Store(0)
			_ = r.c.repair(NewWorker(a, 1, 1), 5)
			r.due++
		}, true},
		"told once more":  {func(a *arena.Arena, r *reaper) { _ = r.c.repair(NewWorker(a, 1, 1), 7) }, true},
		"never told":      {func(a *arena.Arena, r *reaper) { r.due++ }, true},
		"an update lost":  {func(a *arena.Arena, r *reaper) { r.c.A--; r.c.B-- }, true},
		"an update twice": {func(a *arena.Arena, r *reaper) { r.c.B++ }, true},
	} {
		a := newArena(t, chainPlan(), 2, 1)
		r := &reaper{c: chainOf(a), director: direct(&conductor{a: a}, nil)}
		r.c.add(NewWorker(a, 0, 1).Lane(0), nil)
		a.Bury(7, true)
		r.c.LastDead.Store(7)
		if err := r.c.repair(NewWorker(a, 1, 1), 7); err != nil {
			t.Fatal(err)
		}
		r.due++
		c.harm(a, r)
		if r.judge(1); (a.Faults.Load() > 0) != c.fault {
			t.Errorf("%s: %q", name, a.FaultTexts())
		}
	}
}
