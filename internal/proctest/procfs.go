package proctest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// futexPrivate is the flag of a futex call that only this process can see: the Go
// runtime's own. Without it the call is one of ours.
const futexPrivate = 128

// sysFutexWaitv is the same number on every architecture.
const sysFutexWaitv = 449

// sysFutex is the number of futex as /proc shows it: the kernel's, which is another
// one than this program's if an emulator runs it (qemu-user).
var sysFutex = sync.OnceValue(func() string {
	numbers := map[string]string{"0": "202", "63": "98"} // of read: of futex
	own, _, _ := strings.Cut(read("/proc/thread-self", "syscall"), " ")
	if n, ok := numbers[own]; ok {
		return n
	}
	return strconv.Itoa(unix.SYS_FUTEX)
})

// Emulated reports whether another program runs this one, instruction by instruction,
// and makes the system calls for it.
func Emulated() bool { return sysFutex() != strconv.Itoa(unix.SYS_FUTEX) }

// SkipEmulated skips a test of what an emulator does otherwise than the kernel.
func SkipEmulated(t testing.TB, why string) {
	t.Helper()
	if Emulated() {
		t.Skip("under an emulator " + why)
	}
}

// Until polls cond until it holds, and fails the test if it never does. It is for
// conditions in /proc, which have no event; between processes use lines.
func Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for: %s", Patience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// AwaitSleepers returns when at least n threads of a process, a child's or our
// own, sleep in the kernel on shared words: a test that is about waking proves
// first that somebody sleeps. It skips the test where /proc does not tell.
func AwaitSleepers(t testing.TB, pid, n int) {
	t.Helper()
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid)); err != nil {
		t.Skipf("cannot see who sleeps: %v", err)
	}
	Until(t, fmt.Sprintf("%d sleepers in pid %d", n, pid), func() bool { return Sleepers(pid) >= n })
}

// Sleepers counts the threads of a process asleep on shared words.
func Sleepers(pid int) int {
	n := 0
	for _, task := range tasks(pid) {
		if !sleepsOnShared(read(task, "syscall")) {
			continue
		}
		// One in state D waits inside the call for the kernel itself, and is not
		// in the word's queue yet.
		if state, _ := parseStat(read(task, "stat")); state != "D" {
			n++
		}
	}
	return n
}

// sleepsOnShared understands a line of /proc/PID/task/TID/syscall: the number,
// then the arguments in hexadecimal; "running" or "-1 …" outside system calls.
func sleepsOnShared(line string) bool {
	f := strings.Fields(line)
	if len(f) < 4 {
		return false
	}
	switch f[0] {
	case strconv.Itoa(sysFutexWaitv):
		return true
	case sysFutex():
		op, err := strconv.ParseUint(f[2], 0, 64)
		if Emulated() && op == 0 && f[3] == "0xffffffff" {
			return false // a thread of the emulator's own
		}
		return err == nil && op&futexPrivate == 0 // private: not ours
	}
	return false
}

// Describe tells all that /proc knows about where a process is, thread by thread.
func Describe(pid int) string {
	var b strings.Builder
	dir := fmt.Sprintf("/proc/%d", pid)
	fmt.Fprintf(&b, "pid %d, state %s, %s\n", pid, procState(pid), strings.ReplaceAll(read(dir, "cmdline"), "\x00", " "))
	for _, task := range tasks(pid) {
		state, comm := parseStat(read(task, "stat"))
		fmt.Fprintf(&b, "  thread %s %s: state %s, wchan %s, syscall %s\n",
			filepath.Base(task), comm, state, read(task, "wchan"), read(task, "syscall"))
		if stack := read(task, "stack"); stack != "" && sleepsOnShared(read(task, "syscall")) {
			fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(stack, "\n", "\n    "))
		}
	}
	return b.String()
}

func tasks(pid int) []string {
	dirs, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	return dirs
}

// read returns a file of /proc, or nothing: processes end while one looks.
func read(dir, name string) string {
	b, _ := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimSpace(string(b))
}

// procState is the one-letter state of a process: R S D T t Z X, or "" if there is
// none.
func procState(pid int) string {
	state, _ := parseStat(read(fmt.Sprintf("/proc/%d", pid), "stat"))
	return state
}

// parent returns a process's parent, 0 if it is gone.
func parent(pid int) int {
	line := read(fmt.Sprintf("/proc/%d", pid), "stat")
	f := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(f) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(f[1])
	return ppid
}

// parseStat takes state and name from a stat line. The name stands in parentheses
// and may contain any, so the last one counts.
func parseStat(line string) (state, comm string) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end+2 >= len(line) {
		return "", ""
	}
	return line[end+2 : end+3], line[open : end+1]
}

// Command returns the name of the program that a process runs, as execve set it.
func Command(pid int) string {
	_, comm := parseStat(read(fmt.Sprintf("/proc/%d", pid), "stat"))
	return strings.Trim(comm, "()")
}
