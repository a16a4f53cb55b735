package bench

import (
	"fmt"
	"math"
	"slices"
)

// A line is one comparison. It may yield several rows.
type line struct {
	name  string
	about string
	run   func(r *Rig) error
}

// A Row is one figure of ours, the peer's, and what comes of it. Both were
// measured in turns, so that the n-th of ours belongs to the n-th of the peer's.
type Row struct {
	Line    string    `json:"line"`
	Name    string    `json:"name"`
	Unit    Unit      `json:"unit"`
	Ours    []float64 `json:"ours,omitempty"`
	Against string    `json:"against,omitempty"`
	Peer    []float64 `json:"peer,omitempty"` // none: there is nothing to compare with
	Reach   Reach     `json:"reach"`
	Notes   []string  `json:"notes,omitempty"`
	Skipped string    `json:"skipped,omitempty"` // why there are no figures
	Busy    bool      `json:"untrustworthy"`     // somebody else used the machine meanwhile
}

// A Unit is what figures are in.
type Unit string

// The units. Of times and sizes less is better, of rates more.
const (
	Nanoseconds Unit = "ns"
	PerSecond   Unit = "op/s"
	Throughput  Unit = "B/s"
	Size        Unit = "B"
	Count       Unit = "n"
	Index       Unit = "index" // of fairness: 1 is best
)

func (u Unit) moreIsBetter() bool { return u == PerSecond || u == Throughput || u == Index }

// format writes a figure as people read it.
func (u Unit) format(x float64) string {
	switch {
	case math.IsNaN(x):
		return "–"
	case u == Nanoseconds:
		return scaled(x, 1000, "ns", "µs", "ms", "s")
	case u == PerSecond:
		return scaled(x, 1000, "/s", "k/s", "M/s", "G/s")
	case u == Throughput:
		return scaled(x, 1000, "B/s", "kB/s", "MB/s", "GB/s")
	case u == Size:
		return scaled(x, 1024, "B", "KiB", "MiB", "GiB")
	}
	return fmt.Sprintf("%.3g", x)
}

// scaled writes three digits in the largest of the units that x fills.
func scaled(x, step float64, units ...string) string {
	i := 0
	for x >= step*0.9995 && i < len(units)-1 {
		x /= step
		i++
	}
	digits := max(0, 2-int(math.Floor(math.Log10(max(x, 1)))))
	if i == 0 && x == math.Trunc(x) {
		digits = 0
	}
	return fmt.Sprintf("%.*f %s", digits, x, units[i])
}

// A Reach is what a row has to reach. With a limit of 0 that is nothing.
type Reach struct {
	Kind  Kind    `json:"kind,omitempty"`
	Limit float64 `json:"limit,omitempty"`
}

// A Kind says what a reach's limit is compared with.
type Kind string

// The kinds.
const (
	AtMost  Kind = "at most"  // ours / the peer's
	AtLeast Kind = "at least" // ours / the peer's
	Faster  Kind = "faster"   // the peer's / ours, for times
	Below   Kind = "below"    // ours, whatever the peer's is
	Always  Kind = "always"   // the least of ours
)

func atMost(x float64) Reach  { return Reach{AtMost, x} }
func atLeast(x float64) Reach { return Reach{AtLeast, x} }
func faster(x float64) Reach  { return Reach{Faster, x} }
func below(x float64) Reach   { return Reach{Below, x} }
func always(x float64) Reach  { return Reach{Always, x} }

// Our is the middle one of our figures.
func (r *Row) Our() float64 { return median(r.Ours) }

// Their is the middle one of the peer's.
func (r *Row) Their() float64 { return median(r.Peer) }

// ratios are ours / the peer's, turn by turn; with Faster the other way round.
func (r *Row) ratios() []float64 {
	var all []float64
	for i := range min(len(r.Ours), len(r.Peer)) {
		a, b := r.Ours[i], r.Peer[i]
		if r.Reach.Kind == Faster {
			a, b = b, a
		}
		all = append(all, a/b)
	}
	return all
}

// Ratio is the middle one of the ratios of all turns; NaN without a peer. It is
// not the ratio of the middles: what disturbs a turn disturbs both in it.
func (r *Row) Ratio() float64 { return median(r.ratios()) }

// Spread is half of the range in which the middle half of the ratios lies, as a
// part of Ratio.
func (r *Row) Spread() float64 {
	all := slices.Sorted(slices.Values(r.ratios()))
	n := len(all)
	if n < 3 {
		return math.NaN()
	}
	return (all[n-1-n/4] - all[n/4]) / 2 / r.Ratio()
}

// Met says whether the row reaches what it has to; ok is false if there is
// nothing to reach or it was not measured.
func (r *Row) Met() (met, ok bool) {
	if r.Skipped != "" || r.Reach.Limit == 0 {
		return false, false
	}
	switch r.Reach.Kind {
	case AtMost:
		return r.Ratio() <= r.Reach.Limit, true
	case AtLeast, Faster:
		return r.Ratio() >= r.Reach.Limit, true
	case Below:
		return r.Our() < r.Reach.Limit, true
	case Always:
		return slices.Min(r.Ours) >= r.Reach.Limit, true
	}
	return false, false
}

// note adds a remark.
func (r *Row) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// check makes sure that a measured row has sane figures.
func (r *Row) check() error {
	for _, x := range slices.Concat(r.Ours, r.Peer) {
		if !(x > 0) || math.IsInf(x, 0) {
			return fmt.Errorf("%s %s: a figure is %v", r.Line, r.Name, x)
		}
	}
	if len(r.Ours) == 0 {
		return fmt.Errorf("%s %s: no figures", r.Line, r.Name)
	}
	return nil
}

func median(all []float64) float64 { return quantile(all, 0.5) }

// quantile is the smallest figure that a part q of all do not exceed, the mean of
// two for the median of an even number; NaN of none.
func quantile(all []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(all))
	n := len(s)
	switch {
	case n == 0:
		return math.NaN()
	case q == 0.5 && n%2 == 0:
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[min(n-1, max(0, int(math.Ceil(q*float64(n)))-1))]
}
