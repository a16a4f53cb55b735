package proctest

import (
	"testing"
	"time"
)

// Promise is how long a loss may last that only the look repairs, and Breach is
// when its breach fails a test: ten times that, since machines are busy.
const (
	Promise = 100 * time.Millisecond
	Breach  = 10 * Promise
)

// Within logs how long something took that was promised, and fails if it is a
// breach.
func Within(t testing.TB, what string, start time.Time) {
	t.Helper()
	took := time.Since(start)
	t.Logf("%s: %v (promised: %v)", what, took.Round(10*time.Microsecond), Promise)
	if took > Breach {
		t.Errorf("%s took %v", what, took)
	}
}
