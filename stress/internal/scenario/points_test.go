package scenario

import (
	"testing"
	"time"

	"interlock/stress/internal/arena"
)

func watchedWorker(t *testing.T, index int, gen uint32) (*Worker, *Plan) {
	t.Helper()
	a, err := arena.Create(3, 2, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	a.Seed.Store(7)
	a.Points().SetNames([]string{"X1 one", "Y1 other", "X2 two"})
	p := &Plan{Traps: []uint32{LabelInside, LabelOwn}, Marks: []string{"X"}, Labels: []string{"own"}}
	w := NewWorker(a, index, gen)
	w.points = newPoints(w, p)
	return w, p
}

// Passages of marks and traps are counted, and survive who counts; others are not.
func TestPassagesAreCounted(t *testing.T) {
	w, p := watchedWorker(t, 1, 1)
	l := w.Lane(0)
	for range 3 {
		w.points.passed("X2 two")
		w.points.passed("no such mark")
		l.Reach(LabelOwn)
		l.Reach(LabelOwn + 5)
	}
	all := w.Arena.Points()
	for label, want := range map[uint32]uint64{arena.PointBase: 0, arena.PointBase + 2: 3, LabelInside: 0, LabelOwn: 3} {
		if got := w.Arena.Passed(p.PointOf(all, label)); got != want {
			t.Errorf("%s: %d passages, want %d", p.TargetName(all, label), got, want)
		}
	}
	if got := len(p.Targets(all)); got != 4 {
		t.Errorf("%d targets", got)
	}
}

// A trap at a mark holds who comes there until it is lifted, and nobody elsewhere.
func TestATrapAtAMark(t *testing.T) {
	w, _ := watchedWorker(t, 0, 1)
	w.Slot.Trap.Store(arena.PointBase + 2)
	w.points.passed("X1 one")
	if w.Slot.Trapped.Load() != 0 {
		t.Fatal("trapped at another mark")
	}
	gone := make(chan struct{})
	go func() {
		w.points.passed("X2 two")
		close(gone)
	}()
	for begin := time.Now(); w.Slot.Trapped.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatal("nobody is trapped")
		}
	}
	select {
	case <-gone:
		t.Error("trapped, and gone on")
	default:
	}
	w.Slot.Trap.Store(0)
	<-gone
	if w.Slot.Trapped.Load() != 0 {
		t.Error("still counted as trapped")
	}
}

// The delays of a worker follow from the seed; another worker, and the next in the same
// slot, have others. They are of all kinds, and heavy ones longer.
func TestDelaysFollowFromTheSeed(t *testing.T) {
	draw := func(index int, gen, powers uint32) (all [500]delay) {
		w, _ := watchedWorker(t, index, gen)
		for i := range all {
			all[i] = w.points.chaos.draw(powers)
		}
		return all
	}
	light := draw(0, 1, ChaosLight)
	if light != draw(0, 1, ChaosLight) || light == draw(1, 1, ChaosLight) || light == draw(0, 2, ChaosLight) {
		t.Error("they do not follow from seed, slot and generation")
	}
	longest := func(all [500]delay) (most time.Duration, kinds [delayKinds]int) {
		for _, d := range all {
			most = max(most, d.long)
			kinds[d.kind]++
		}
		return most, kinds
	}
	for powers, want := range map[uint32]time.Duration{ChaosLight: 1024 * time.Microsecond, ChaosHeavy: 65536 * time.Microsecond} {
		most, kinds := longest(draw(0, 1, powers))
		if most != want || min(kinds[0], kinds[1], kinds[2]) == 0 {
			t.Errorf("longest %v, want %v; kinds %v", most, want, kinds)
		}
	}
}

// However often a mark is passed, delays take no more than their share of the time.
func TestDelaysHaveAShare(t *testing.T) {
	w, _ := watchedWorker(t, 0, 1)
	c := &w.points.chaos
	c.begin = time.Now().Add(-time.Second)
	for range 1_000_000 {
		c.due(ChaosHeavy)
	}
	lived := time.Since(c.begin)
	if c.used > lived/chaosShare || c.used < lived/chaosShare/4 {
		t.Errorf("%v of %v", c.used, lived)
	}
	w.points.passed("X1 one") // no delay without chaos
	before := w.points.tally.Delays.Load()
	w.Arena.Points().Chaos.Store(ChaosLight)
	c.begin = c.begin.Add(-time.Hour)
	for range 100 {
		w.points.passed("X1 one")
	}
	after := w.points.tally.Delays.Load()
	if before != 0 || after == 0 || time.Duration(w.points.tally.Delayed.Load()) == 0 {
		t.Errorf("%d delays without chaos, %d with", before, after)
	}
	for i := range min(after, arena.DelayCount) {
		if d := &w.points.tally.Last[i]; d.Point.Load() != 0 || d.Long.Load() == 0 || d.At.Load() == 0 {
			t.Errorf("delay %d is not written down", i)
		}
	}
}
