// Package time stands in for the time of Go. Time passes when the scheduler says so.
package time

import (
	"time"

	"interlock/stress/internal/schedule/sim"
)

// A Duration is a time.Duration.
type Duration = time.Duration

// Units.
const (
	Nanosecond  = time.Nanosecond
	Microsecond = time.Microsecond
	Millisecond = time.Millisecond
	Second      = time.Second
)

// A Time is nanoseconds since the start of the execution.
type Time struct{ At int64 }

// Now is the time; 0 while the program's variables are initialised.
func Now() Time { return Time{sim.Now()} }

// Since is how long ago t was.
func Since(t Time) Duration { return Duration(sim.Now() - t.At) }

// Until is how far ahead t is.
func Until(t Time) Duration { return Duration(t.At - sim.Now()) }

// Sleep sleeps.
func Sleep(d Duration) { sim.Sleep(int64(d)) }

// A Timer is a time.Timer with a channel.
type Timer struct {
	C *sim.Chan
	t *sim.Timer
}

// NewTimer starts one.
func NewTimer(d Duration) *Timer {
	t := sim.NewTimer(int64(d))
	return &Timer{t.C, t}
}

// Reset starts it again.
func (t *Timer) Reset(d Duration) { t.t.Reset(int64(d)) }

// Stop ends it.
func (t *Timer) Stop() bool { return t.t.Stop() }

// AfterFunc calls f after d.
func AfterFunc(d Duration, f func()) { sim.AfterFunc(int64(d), f) }
