// Package procfs reads what the kernel says about a process's threads.
package procfs

import (
	"os"
	"path/filepath"
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

// Pin confines every thread of a process to the CPUs of set. Threads that are
// made meanwhile inherit it from one that has it, or from one that has not: so
// until a pass finds nothing new.
func Pin(pid int, set *unix.CPUSet) {
	done := map[int]bool{}
	for again := true; again; {
		again = false
		for _, tid := range tids(pid) {
			if !done[tid] {
				done[tid], again = true, true
				_ = unix.SchedSetaffinity(tid, set) // gone again, or not allowed: then it stays where it was
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
