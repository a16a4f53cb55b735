package proctest

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Threads is how many threads a process has, 0 if it is gone.
func Threads(pid int) int {
	for _, line := range strings.Split(read(fmt.Sprintf("/proc/%d", pid), "status"), "\n") {
		if rest, ok := strings.CutPrefix(line, "Threads:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(rest))
			return n
		}
	}
	return 0
}

// A Usage is what this process has used so far.
type Usage struct {
	CPU      time.Duration // in user and kernel mode
	Switches int64         // how often one of its threads went to sleep
	at       time.Time
}

// Used is the usage up to now.
func Used() Usage {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return Usage{time.Duration(u.Utime.Nano() + u.Stime.Nano()), u.Nvcsw, time.Now()}
}

// Since is what was used since an earlier Used: per cent of one CPU, and how
// often per second a thread went to sleep, hence had been awake.
func (u Usage) Since(before Usage) (percent, switches float64) {
	wall := u.at.Sub(before.at)
	return 100 * float64(u.CPU-before.CPU) / float64(wall), float64(u.Switches-before.Switches) / wall.Seconds()
}

// Now is CLOCK_MONOTONIC in nanoseconds: one clock for all processes.
func Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// Until polls cond, as the test's Until does.
func (c *Child) Until(what string, cond func() bool) {
	for deadline := time.Now().Add(Patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.Fatalf("waited %v for: %s", Patience, what)
		}
	}
}
