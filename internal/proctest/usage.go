package proctest

import (
	"fmt"
	"os"
	"runtime"
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

// PrivateMemory is how many bytes of memory that is no file's and no segment's a
// process has.
func PrivateMemory(pid int) int {
	for _, line := range strings.Split(read(fmt.Sprintf("/proc/%d", pid), "status"), "\n") {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			return kib << 10
		}
	}
	return 0
}

// FewThreads is how many threads a process may have whose goroutines only wait,
// however many they are: the runtime has some for each CPU.
func FewThreads() int { return 28 + 2*runtime.NumCPU() }

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

// A Window measures how long something takes on a machine that is busy with other
// things: of more than a brief time, that for which this process and each of its
// children waited for a CPU meanwhile, by the thread of theirs that waited longest, does
// not count. A sleeper that nobody wakes waits for no CPU.
type Window struct {
	start int64
	waits map[int]map[string]time.Duration
}

// brief is what nobody complains of.
const brief = time.Millisecond

// Begin begins a window.
func Begin() Window {
	waits := cpuWaits()
	return Window{Now(), waits}
}

// Took is the time from the beginning to end, which is by Now and just over.
func (w Window) Took(end int64) time.Duration { return w.Less(time.Duration(end - w.start)) }

// Less is what is left of a time that was measured in the window, which ends now.
func (w Window) Less(took time.Duration) time.Duration {
	if took <= brief {
		return max(took, 1)
	}
	for pid, now := range cpuWaits() {
		longest := time.Duration(0)
		for task, wait := range now {
			longest = max(longest, wait-w.waits[pid][task])
		}
		took -= longest
	}
	return max(took, brief)
}

// cpuWaits is for how long each thread of each process has waited for a CPU so far: the
// second number in its schedstat. A kernel that does not count that tells 0, or nothing.
func cpuWaits() map[int]map[string]time.Duration {
	pids := []int{os.Getpid()}
	for _, p := range children() {
		pids = append(pids, p.Pid)
	}
	found := map[int]map[string]time.Duration{}
	for _, pid := range pids {
		found[pid] = map[string]time.Duration{}
		for _, task := range tasks(pid) {
			if f := strings.Fields(read(task, "schedstat")); len(f) > 1 {
				ns, _ := strconv.ParseInt(f[1], 10, 64)
				found[pid][task] = time.Duration(ns)
			}
		}
	}
	return found
}

// Until polls cond, as the test's Until does.
func (c *Child) Until(what string, cond func() bool) {
	for deadline := time.Now().Add(Patience); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.Fatalf("waited %v for: %s", Patience, what)
		}
	}
}
