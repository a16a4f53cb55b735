package arena

import (
	"time"

	"golang.org/x/sys/unix"
)

// Go's own clock readings cannot be compared between processes, and a
// clock_gettime system call costs more than the operations timed here. So the
// distance between the two clocks is measured once per process.
var (
	clockBase   = time.Now()
	clockOffset = monotonic()
)

// Now is CLOCK_MONOTONIC in nanoseconds: the same clock in every process of
// this machine.
func Now() int64 { return clockOffset + int64(time.Since(clockBase)) }

func monotonic() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("arena: CLOCK_MONOTONIC: " + err.Error())
	}
	return ts.Nano()
}
