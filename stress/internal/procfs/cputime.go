package procfs

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// CPUTime is the time that all threads of a process have had on a CPU, by the clock that
// clock_getcpuclockid(3) names.
func CPUTime(pid int) (time.Duration, error) {
	const whole = 2 // CPUCLOCK_SCHED, of the process: not one thread's
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|whole), &t); err != nil {
		return 0, fmt.Errorf("procfs: the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}
