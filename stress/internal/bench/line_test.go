// What holds for rows:
//   - the ratio is the middle one of the turns' ratios, and the reach judges it;
//   - figures that are no figures are refused;
//   - what is shown has three digits.
package bench

import (
	"math"
	"testing"
)

func TestReach(t *testing.T) {
	ours, peer := []float64{10, 30, 20}, []float64{20, 20, 20} // ratios 0.5, 1.5, 1
	for _, c := range []struct {
		reach   Reach
		met, ok bool
	}{
		{Reach{}, false, false},
		{atMost(1), true, true}, {atMost(0.99), false, true},
		{atLeast(1), true, true}, {atLeast(1.01), false, true},
		{faster(1), true, true}, {faster(1.01), false, true}, {faster(0), false, false},
		{below(20.5), true, true}, {below(20), false, true},
		{always(10), true, true}, {always(10.1), false, true},
	} {
		r := &Row{Unit: Nanoseconds, Ours: ours, Peer: peer, Reach: c.reach}
		if met, ok := r.Met(); met != c.met || ok != c.ok {
			t.Errorf("%+v: met %v, %v", c.reach, met, ok)
		}
		r.Skipped = "no reason"
		if _, ok := r.Met(); ok {
			t.Errorf("%+v: judged, and was skipped", c.reach)
		}
	}
}

func TestTheRatioIsThatOfTurns(t *testing.T) {
	// The machine became ten times slower, for both.
	r := &Row{Ours: []float64{1, 1, 10, 10, 10}, Peer: []float64{2, 2, 20, 20, 20}}
	if x, s := r.Ratio(), r.Spread(); x != 0.5 || s != 0 {
		t.Errorf("%v ± %v", x, s)
	}
	r.Reach = faster(0)
	if x := r.Ratio(); x != 2 {
		t.Errorf("faster: %v", x)
	}
	if x := (&Row{Ours: []float64{1}}).Ratio(); !math.IsNaN(x) {
		t.Errorf("without a peer: %v", x)
	}
}

func TestFiguresThatAreNone(t *testing.T) {
	for _, r := range []*Row{
		{}, {Ours: []float64{0}}, {Ours: []float64{-1}}, {Ours: []float64{math.NaN()}}, {Ours: []float64{math.Inf(1)}},
		{Ours: []float64{1}, Peer: []float64{0}},
	} {
		if r.check() == nil {
			t.Errorf("%v and %v are taken", r.Ours, r.Peer)
		}
	}
	if err := (&Row{Ours: []float64{1}}).check(); err != nil {
		t.Error(err)
	}
}

func TestQuantile(t *testing.T) {
	var all []float64
	for i := range 1000 {
		all = append(all, float64(1000-i))
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 500.5, 0.99: 990, 0.999: 999, 1: 1000} {
		if got := quantile(all, q); got != want {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
	if !math.IsNaN(median(nil)) {
		t.Error("of nothing")
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		unit Unit
		x    float64
		want string
	}{
		{Nanoseconds, 6.4976, "6.50 ns"}, {Nanoseconds, 150e3, "150 µs"}, {Nanoseconds, 999.9, "1.00 µs"}, {Nanoseconds, 48, "48 ns"},
		{Nanoseconds, 12.3e9, "12.3 s"}, {PerSecond, 27.31e6, "27.3 M/s"}, {Throughput, 1.95e9, "1.95 GB/s"}, {Size, 40, "40 B"},
		{Size, 1 << 20, "1.00 MiB"}, {Index, 0.9871, "0.987"}, {Nanoseconds, math.NaN(), "–"},
	} {
		if got := c.unit.format(c.x); got != c.want {
			t.Errorf("%v %s: %q, want %q", c.x, c.unit, got, c.want)
		}
	}
}
