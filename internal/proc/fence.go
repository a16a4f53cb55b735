package proc

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Fence waits until the dead process pid can no longer write to memory.
//
// When the kernel marks a lock, other threads of its killed owner may still be
// running for a moment on other CPUs, and in the middle of a store to what the
// lock guards. Each has SIGKILL pending until it stops running user code for
// good, so the fence waits until none has. It does not wait for the pidfd,
// which becomes readable only after the whole address space has been torn down
// (P-K16).
//
// It ends early with ctx's error. It does not wait for a thread in
// uninterruptible sleep, which may last for ever; such a thread can write only
// through a system call it is already in. Where /proc hides the process, or is that
// of another PID namespace, there is nothing to see and no fence.
func Fence(ctx context.Context, pid int) error {
	if pid == 0 || pid == os.Getpid() {
		return nil
	}
	const quickly = 10
	pause := 20 * time.Microsecond
	for rounds := 0; dying(pid); rounds++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		// It is soon, if each thread gets a CPU, and a look takes longer than that.
		if rounds < quickly {
			_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
			continue
		}
		time.Sleep(pause) // no event tells when a thread has stopped running
		pause = min(2*pause, time.Millisecond)
	}
	return nil
}

// dying reports whether a thread of pid that may still run has SIGKILL pending.
func dying(pid int) bool {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := threadsOf(dir)
	if err != nil || !procIsOurs() {
		return false
	}
	for _, t := range threads {
		b, err := readFile(dir + "/" + t + "/status")
		if err == nil && killPending(b) {
			return true
		}
	}
	return false
}

// killPending reads a thread's status file. The thread's own pending set is
// the one: a kill of the process puts SIGKILL into that of every thread.
func killPending(status []byte) bool {
	if bytes.HasPrefix(field(status, "State:"), []byte("D")) {
		return false
	}
	pending, err := strconv.ParseUint(string(field(status, "SigPnd:")), 16, 64)
	return err == nil && pending&(1<<(unix.SIGKILL-1)) != 0
}

func field(status []byte, name string) []byte {
	_, rest, ok := bytes.Cut(status, []byte("\n"+name))
	if !ok {
		return nil
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return bytes.TrimSpace(line)
}
