// Package procfs reads what the kernel says about a process's threads.
package procfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Thread is one thread as /proc shows it.
type Thread struct {
	TID     int
	State   string // R, S, D, T, Z; "?" when it could not be read
	Wchan   string
	Syscall string
}

// Threads lists a process's threads; none if it is gone.
func Threads(pid int) []Thread {
	var threads []Thread
	for _, tid := range tids(pid) {
		dir := taskDir(pid) + "/" + strconv.Itoa(tid)
		threads = append(threads, Thread{tid, state(dir), line(dir + "/wchan"), line(dir + "/syscall")})
	}
	return threads
}

// Asleep reports whether no thread of the process runs or is about to. A
// process without threads, or one that cannot be read, does not sleep.
func Asleep(pid int) bool {
	all := tids(pid)
	for _, tid := range all {
		if s := state(taskDir(pid) + "/" + strconv.Itoa(tid)); s != "S" {
			return false
		}
	}
	return len(all) > 0
}

// Count is the number of a process's threads; 0 if it is gone.
func Count(pid int) int { return len(tids(pid)) }

// Switches is how often the threads of a process have given up a CPU by
// themselves: went to sleep, and so had to be woken.
func Switches(pid int) (n int) {
	for _, tid := range tids(pid) {
		for _, l := range strings.Split(line(taskDir(pid)+"/"+strconv.Itoa(tid)+"/status"), "\n") {
			if value, ok := strings.CutPrefix(l, "voluntary_ctxt_switches:"); ok {
				v, _ := strconv.Atoi(strings.TrimSpace(value))
				n += v
			}
		}
	}
	return n
}

// Sleepers is how many threads of a process sleep on a word, given its address
// there. False: this machine does not show it.
func Sleepers(pid int, addr uint64) (n int, ok bool) {
	if _, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "syscall")); err != nil {
		return 0, false // a kernel that was built without it, or the process is gone
	}
	for _, tid := range tids(pid) {
		words, err := AsleepOn(pid, tid)
		if errors.Is(err, fs.ErrPermission) {
			return 0, false
		}
		if slices.Contains(words, addr) {
			n++
		}
	}
	return n, true
}

// Pin confines every thread of a process to the CPUs of set.
func Pin(pid int, set *unix.CPUSet) {
	each(pid, func(tid int) { _ = unix.SchedSetaffinity(tid, set) }) // if that is not allowed, it stays where it was
}

// Humble gives every thread of a process a low priority; idle: the lowest, for when
// nobody else wants the CPU.
func Humble(pid int, idle bool) {
	each(pid, func(tid int) {
		_ = unix.Setpriority(unix.PRIO_PROCESS, tid, 19)
		if idle {
			_ = unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE, Nice: 19}, 0)
		}
	})
}

// each calls f for every thread of a process. Threads that are made meanwhile inherit
// what f does from one that has it, or from one that has not: so until a pass finds
// nothing new.
func each(pid int, f func(tid int)) {
	done := map[int]bool{}
	for again := true; again; {
		again = false
		for _, tid := range tids(pid) {
			if !done[tid] {
				done[tid], again = true, true
				f(tid) // it may be gone again
			}
		}
	}
}

func taskDir(pid int) string { return filepath.Join("/proc", strconv.Itoa(pid), "task") }

func tids(pid int) []int {
	entries, err := os.ReadDir(taskDir(pid))
	if err != nil {
		return nil
	}
	var list []int
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			list = append(list, tid)
		}
	}
	return list
}

// state is the letter behind the program's name in a thread's stat.
func state(dir string) string {
	text := line(dir + "/stat")
	if i := strings.LastIndexByte(text, ')'); i >= 0 && i+2 < len(text) {
		return text[i+2 : i+3]
	}
	return "?"
}

func line(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(text))
}

// State is the letter that /proc shows for a thread: R, S, D, t, Z; "?" if it is gone.
func State(pid, tid int) string { return state(taskDir(pid) + "/" + strconv.Itoa(tid)) }
