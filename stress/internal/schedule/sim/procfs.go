package sim

import (
	"fmt"
	"io/fs"
	"strings"
)

// What /proc says, as far as the library asks.

// Getpid is the current process's ID.
func Getpid() int { return world.current.Process.PID }

// Gettid is the current thread's ID.
func Gettid() int { return world.current.tid }

// startTicks is when a process's threads were started.
func (p *Process) startTicks() int { return 1000 + p.PID }

func (w *World) process(pid int) *Process {
	for _, p := range w.procs {
		if p.PID == pid && p.life != gone {
			return p
		}
	}
	return nil
}

// thread finds a thread that has not gone. Of a dead process that is not reaped yet
// all of them are there.
func (w *World) thread(tid int) *Thread {
	for _, t := range w.threads {
		if t.tid == tid && t.state != ended && t.Process.life != gone {
			return t
		}
	}
	return nil
}

// ThreadExists reports whether there is a thread of this ID, in the process if pid is
// not 0.
func ThreadExists(pid, tid int) bool {
	t := world.thread(tid)
	return t != nil && (pid == 0 || t.Process.PID == pid)
}

// Threads lists /proc/PID/task.
func Threads(dir string) (names []string, err error) {
	var pid int
	fmt.Sscanf(dir, "/proc/%d/task", &pid)
	p := world.process(pid)
	if p == nil {
		return nil, fs.ErrNotExist
	}
	for _, t := range p.threads {
		if t.state != ended {
			names = append(names, fmt.Sprint(t.tid))
		}
	}
	return names, nil
}

// ReadFile reads a file of /proc.
func ReadFile(path string) ([]byte, error) {
	world.point(shared)
	if path == "/proc/self/maps" {
		lo := memoryOf(world.current.Process)
		return fmt.Appendf(nil, "%x-%x rw-s 00000000 00:01 1 /memfd:sim (deleted)\n", lo, lo+memorySize), nil
	}
	parts := strings.Split(path, "/")
	var pid, tid int
	fmt.Sscan(parts[2], &pid)
	tid = pid
	switch {
	case parts[2] == "thread-self":
		tid = world.current.tid
	case len(parts) == 6:
		fmt.Sscan(parts[4], &tid)
	}
	t := world.thread(tid)
	if t == nil {
		return nil, fs.ErrNotExist
	}
	switch parts[len(parts)-1] {
	case "stat":
		return t.stat(), nil
	case "status":
		return t.status(), nil
	}
	return nil, fs.ErrNotExist
}

// stat is proc(5)'s, with the fields that the library reads: state, flags, start.
func (t *Thread) stat() []byte {
	flags := 0
	if t.state == stopped {
		flags = 4 // PF_EXITING
	}
	zeros := strings.Repeat("0 ", 12)
	return fmt.Appendf(nil, "%d (sim) R 1 1 1 0 0 %d %s%d 0\n", t.tid, flags, zeros, t.Process.startTicks())
}

func (t *Thread) status() []byte {
	pending := 0
	if t.Process.life == dying && t.state != stopped {
		pending = 1 << 8 // SIGKILL
	}
	return fmt.Appendf(nil, "Name:\tsim\nState:\tR (running)\nTgid:\t%d\nSigPnd:\t%016x\n", t.Process.PID, pending)
}
