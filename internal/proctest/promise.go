package proctest

import (
	"sync/atomic"
	"testing"
	"time"
)

// Promise is how long a loss may last that only the look repairs, and Breach is
// when its breach fails a test: ten times that, since machines are busy.
const (
	Promise = 100 * time.Millisecond
	Breach  = 10 * Promise
)

// Measure measures what a busy machine can spoil, until it has no complaint. What is
// broken complains each time.
func Measure(t testing.TB, once func() (complaint string)) {
	t.Helper()
	const tries = 5
	for try := 1; ; try++ {
		complaint := once()
		switch {
		case complaint == "" || t.Failed():
			return
		case try == tries:
			t.Errorf("%s, %d times in a row", complaint, tries)
			return
		}
		t.Logf("%s: once more", complaint)
	}
}

// lag is the longest that the machine, having other things to do, kept this process
// from going on so far, in nanoseconds.
var lag atomic.Int64

// watchLag sees that by taking naps.
func watchLag() {
	const nap = 10 * time.Millisecond
	for {
		start := time.Now()
		time.Sleep(nap)
		if late := time.Since(start) - nap; int64(late) > lag.Load() {
			lag.Store(int64(late))
		}
	}
}

// TooLate reports whether a time is a breach: beyond what the machine itself kept the
// test waiting.
func TooLate(took time.Duration) bool {
	return took > Breach && took > Breach+2*time.Duration(lag.Load())
}

// Within logs how long something took that was promised, and fails if it is a
// breach.
func Within(t testing.TB, what string, start time.Time) {
	t.Helper()
	took := time.Since(start)
	t.Logf("%s: %v (promised: %v)", what, took.Round(10*time.Microsecond), Promise)
	if TooLate(took) {
		t.Errorf("%s took %v", what, took)
	}
}
