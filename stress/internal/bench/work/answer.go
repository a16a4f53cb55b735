package work

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// An Answer is what one process found in one slice.
type Answer struct {
	Ops     uint64
	Elapsed time.Duration
	Best    float64 // ns per operation in the fastest batch; 0 if there were no batches
	Middle  float64 // the same in the median batch
	Waits   *hdrhistogram.Histogram
}

// NewWaits is an empty histogram of waits in nanoseconds, up to a minute.
func NewWaits() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Minute), 2)
}

// String is the answer's line.
func (a Answer) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ops %d ns %d best %.4f middle %.4f waits ", a.Ops, a.Elapsed, a.Best, a.Middle)
	if a.Waits != nil {
		for _, bar := range a.Waits.Distribution() {
			if bar.Count > 0 {
				fmt.Fprintf(&b, "%d:%d,", bar.To, bar.Count)
			}
		}
	}
	return b.String()
}

// ParseAnswer reads an answer's line.
func ParseAnswer(line string) (Answer, error) {
	a := Answer{Waits: NewWaits()}
	head, waits, _ := strings.Cut(line, "waits")
	if _, err := fmt.Sscanf(head, "ops %d ns %d best %f middle %f", &a.Ops, &a.Elapsed, &a.Best, &a.Middle); err != nil {
		return a, fmt.Errorf("not an answer: %q: %w", line, err)
	}
	for _, bar := range strings.Split(strings.TrimSpace(waits), ",") {
		if bar == "" {
			continue
		}
		value, count, _ := strings.Cut(bar, ":")
		v, err1 := strconv.ParseInt(value, 10, 64)
		n, err2 := strconv.ParseInt(count, 10, 64)
		if err1 != nil || err2 != nil {
			return a, fmt.Errorf("not a wait: %q", bar)
		}
		if err := a.Waits.RecordValues(min(v, int64(time.Minute)), n); err != nil {
			return a, err
		}
	}
	return a, nil
}
