package scenario

import (
	"strings"
	"testing"
	"time"

	"interlock/stress/internal/arena"
)

// Only waits in the measured stretch count, and from its beginning on.
func TestHerdLongestWait(t *testing.T) {
	for _, c := range []struct {
		name                     string
		opened, closed           int64
		asked, got, longest, was int64
	}{
		{"not open yet", 0, 0, 10, 20, 0, 0},
		{"queued before it opened", 100, 0, 10, 130, 30, 0},
		{"within", 100, 0, 110, 130, 20, 0},
		{"ends after it closed", 100, 200, 150, 250, 100, 0},
		{"begins after it closed", 100, 200, 210, 250, 0, 0},
		{"not the longest", 100, 200, 110, 120, 30, 30},
	} {
		a := newArena(t, herdPlan(), 2, 1)
		h, s := herdOf(a), herdSlotOf(a, 1)
		h.Opened.Store(c.opened)
		h.Closed.Store(c.closed)
		s.Longest.Store(c.was)
		if h.waited(s, c.asked, c.got); s.Longest.Load() != c.longest {
			t.Errorf("%s: %d, want %d", c.name, s.Longest.Load(), c.longest)
		}
	}
}

// What the herd must not do is a missed threshold, each for itself.
func TestHerdThresholds(t *testing.T) {
	for want, spoil := range map[string]func(d *drover){
		"":        func(d *drover) {},
		"turns":   func(d *drover) { d.turns = [2]uint64{39, 100} },
		"threads": func(d *drover) { d.threads = mostThreads + 1 },
		"wake":    func(d *drover) { d.sleepers = 4 },
	} {
		a := newArena(t, herdPlan(), 3, 1)
		d := &drover{conductor: &conductor{a: a, orders: make([]uint32, 3)}, h: herdOf(a), switches: make([]int, 3)}
		d.turns, d.watched, d.threads, d.sleepers = [2]uint64{41, 100}, time.Second, mostThreads, 3
		spoil(d)
		var f Findings
		d.check(a, &f)
		if len(f.Faults) > 0 {
			t.Errorf("faults: %q", f.Faults)
		}
		switch late := strings.Join(f.Late, "; "); {
		case want == "" && late == "":
		case want == "" || len(f.Late) != 1 || !strings.Contains(late, want):
			t.Errorf("want %q: %q", want, late)
		}
	}
}

// The areas of the slots lie behind that of the herd, and do not overlap.
func TestHerdLayout(t *testing.T) {
	a := newArena(t, herdPlan(), 3, 1)
	size := arena.SizeOf[herdSlot]()
	if size%64 != 0 || arena.SizeOf[herdArea]()%64 != 0 {
		t.Errorf("herd %d bytes, slot %d: not whole cache lines", arena.SizeOf[herdArea](), size)
	}
	for i := range 3 {
		herdSlotOf(a, i).Came.Store(uint64(i + 1))
	}
	for i := range 3 {
		if n := herdSlotOf(a, i).Came.Load(); n != uint64(i+1) {
			t.Errorf("slot %d holds %d", i, n)
		}
	}
	if h := herdOf(a); h.Last.Load() != 0 || h.Gave.Load() != 0 {
		t.Error("a slot lies over the herd")
	}
}

// A crowd of all workers together is about as large as that of one, and nobody
// is without.
func TestHerdParts(t *testing.T) {
	a := newArena(t, herdPlan(), 4, 1)
	for crowd, want := range map[uint32]int{1: 1, 3: 1, 4: 1, 1000: 250} {
		a.Crowd.Store(crowd)
		if n := part(a); n != want {
			t.Errorf("of %d: %d, want %d", crowd, n, want)
		}
	}
}
