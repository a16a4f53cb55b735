package proctest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Times are measured durations.
type Times []time.Duration

// At is the duration that a share of them, 0 to 1, does not exceed.
func (d Times) At(share float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[min(int(share*float64(len(d))), len(d)-1)]
}

func (d Times) String() string {
	return fmt.Sprintf("median %v, p99 %v, worst %v of %d", round(d.At(0.5)), round(d.At(0.99)), round(d.At(1)), len(d))
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Nanosecond)
	}
	return d.Round(10 * time.Microsecond)
}

// Line is all of them in one line, for a child to Say; ParseTimes reads it.
func (d Times) Line() string {
	var b strings.Builder
	for _, one := range d {
		fmt.Fprintf(&b, "%d ", one.Nanoseconds())
	}
	return strings.TrimSuffix(b.String(), " ")
}

// ParseTimes reads a Line.
func ParseTimes(t testing.TB, line string) Times {
	t.Helper()
	var d Times
	for _, word := range strings.Fields(line) {
		var ns int64
		if _, err := fmt.Sscan(word, &ns); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		d = append(d, time.Duration(ns))
	}
	return d
}
