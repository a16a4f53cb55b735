package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// What latencies are told of, where a scenario has it.
const (
	Wait     = "wait"     // from the call to having it; every 16th
	Hold     = "hold"     // from having it to having given it away; every 16th
	Recovery = "recovery" // from kill(2) to the beginning of the repair; every one
)

// Kinds are they in the order in which they are shown.
var Kinds = []string{Wait, Hold, Recovery}

// Latency is how often something took how long, to about a hundredth, and how long it
// took at most.
type Latency struct {
	h   *hdrhistogram.Histogram
	max time.Duration
}

// longestKept is the longest duration that quantiles tell from a longer one.
const longestKept = int64(time.Hour)

// NewLatency has seen nothing.
func NewLatency() *Latency { return &Latency{h: hdrhistogram.New(1, longestKept, 2)} }

// Record counts n times the same.
func (l *Latency) Record(d time.Duration, n int64) {
	l.max = max(l.max, d)
	_ = l.h.RecordValues(min(max(int64(d), 1), longestKept), n) // in range: no error
}

// Merge adds another's.
func (l *Latency) Merge(o *Latency) {
	l.max = max(l.max, o.max)
	l.h.Merge(o.h)
}

// Count is how many there are.
func (l *Latency) Count() int64 { return l.h.TotalCount() }

// Quantile is what so many percent do not exceed; 0 if there are none.
func (l *Latency) Quantile(percent float64) time.Duration {
	if l.Count() == 0 {
		return 0
	}
	return min(time.Duration(l.h.ValueAtQuantile(percent)), l.max)
}

// Max is the longest, exactly.
func (l *Latency) Max() time.Duration { return l.max }

// Mean is the mean.
func (l *Latency) Mean() time.Duration { return time.Duration(l.h.Mean()) }

// buckets calls f for powers of two from the first to the last in which there is
// something, also for the empty ones between.
func (l *Latency) buckets(f func(up time.Duration, n int64)) {
	counts := map[int]int64{}
	first, last := 64, 0
	for _, b := range l.h.Distribution() {
		if b.Count == 0 {
			continue
		}
		power := 0
		for 1<<power < b.To {
			power++
		}
		counts[power] += b.Count
		first, last = min(first, power), max(last, power)
	}
	for power := first; power <= last; power++ {
		f(time.Duration(1)<<power, counts[power])
	}
}

// MarshalJSON gives what people ask for, and a histogram by powers of two.
func (l *Latency) MarshalJSON() ([]byte, error) {
	type bucket struct {
		To    int64 `json:"le_ns"`
		Count int64 `json:"count"`
	}
	var all []bucket
	l.buckets(func(up time.Duration, n int64) { all = append(all, bucket{int64(up), n}) })
	return json.Marshal(struct {
		Count   int64         `json:"count"`
		Mean    time.Duration `json:"mean_ns"`
		P50     time.Duration `json:"p50_ns"`
		P90     time.Duration `json:"p90_ns"`
		P99     time.Duration `json:"p99_ns"`
		P999    time.Duration `json:"p99_9_ns"`
		Max     time.Duration `json:"max_ns"`
		Buckets []bucket      `json:"buckets"`
	}{l.Count(), l.Mean(), l.Quantile(50), l.Quantile(90), l.Quantile(99), l.Quantile(99.9), l.Max(), all})
}

// Latencies is the table of all scenarios, and the histogram of all their recoveries.
func Latencies(w io.Writer, results []*Result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "LATENCY\t\tcount\tmedian\tp90\tp99\tp99.9\tlongest\t")
	all, rows := NewLatency(), 0
	for _, r := range results {
		for _, kind := range Kinds {
			l := r.Latency[kind]
			if l == nil {
				continue
			}
			rows++
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.Name, kind, Count(uint64(l.Count())),
				Short(l.Quantile(50)), Short(l.Quantile(90)), Short(l.Quantile(99)), Short(l.Quantile(99.9)), Short(l.Max()))
			if kind == Recovery {
				all.Merge(l)
			}
		}
	}
	if rows == 0 {
		return
	}
	fmt.Fprintln(w)
	t.Flush()
	if all.Count() > 0 {
		fmt.Fprintf(w, "\nRECOVERY, from kill to the beginning of the repair: %d, median %s, p99 %s, p99.9 %s, longest %s\n",
			all.Count(), Short(all.Quantile(50)), Short(all.Quantile(99)), Short(all.Quantile(99.9)), Short(all.Max()))
		all.bars(w)
	}
}

// bars draws the histogram.
func (l *Latency) bars(w io.Writer) {
	const width = 50
	var most int64
	l.buckets(func(_ time.Duration, n int64) { most = max(most, n) })
	l.buckets(func(up time.Duration, n int64) {
		bar := strings.Repeat("█", int(n*width/most))
		if n > 0 && bar == "" {
			bar = "▏"
		}
		fmt.Fprintf(w, "  up to %7s %8d %s\n", Short(up), n, bar)
	})
}
