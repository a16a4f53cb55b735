package explore

import (
	"time"

	"golang.org/x/sys/unix"
)

// used is the CPU time of this process. Limits are in CPU time, so that as much is
// searched on a machine that is busy with other things.
func used() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		panic(err) // no argument is wrong
	}
	return time.Duration(ts.Nano())
}
