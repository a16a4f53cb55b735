package proctest

import (
	"os"
	"testing"
	"time"

	"interlock/internal/race"
)

// envLong asks for the long form of tests that find more the longer they run.
const envLong = "INTERLOCK_LONG"

// Lasts is how long such a test runs: short, or long if the environment has
// INTERLOCK_LONG=1. The short form says how to get the long one.
func Lasts(t testing.TB, short, long time.Duration) time.Duration {
	t.Helper()
	if Long() {
		return long
	}
	t.Logf("for %v; with %s=1 in the environment, for %v", short, envLong, long)
	return short
}

// Long reports whether the long form is asked for.
func Long() bool { return os.Getenv(envLong) != "" }

// Scaled is a number of goroutines or rounds: less is as good under the race
// detector, which costs ten times the time and memory, and under an emulator.
func Scaled(n, slow int) int {
	if race.Enabled || Emulated() {
		return slow
	}
	return n
}
