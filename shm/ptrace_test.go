//go:build amd64 || arm64

package shm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/race"
)

// This file stops one thread of a child at each of its system calls. The tests
// that use it look at the world there, kill the child, or let the call fail.
// The registers are in ptrace_ARCH_test.go.

// marker is a prctl that no kernel knows. A child makes it, and so tells its
// tracer where it is: in the call's second argument.
const marker = 0x494c4f43

func mark(n int) { unix.Prctl(marker, uintptr(n), 0, 0, 0) }

// underTrace runs f in a thread of its own, once the test traces it.
func underTrace(f func() error) error {
	done := make(chan error)
	var start func()
	start = func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			// The first thread's end is the process's end for who waits: take
			// another one.
			go start()
			select {}
		}
		fmt.Println(unix.Gettid())
		if n, err := unix.Read(0, make([]byte, 1)); n != 1 {
			done <- fmt.Errorf("nobody traces: %w", err)
			return
		}
		done <- f()
	}
	go start()
	return <-done
}

// A sysCall is a system call that is about to be made.
type sysCall struct {
	nr   int
	args [6]uint64
}

func (c *sysCall) mark() (n int, ok bool) {
	return int(c.args[1]), c.nr == unix.SYS_PRCTL && c.args[0] == marker
}

// ofRuntime tells calls that Go's runtime makes on any thread, whatever that
// does. What a test lets fail, or counts, are the others: the library's. (The
// library never writes, but to fill a file that cannot be reserved.)
func (c *sysCall) ofRuntime() bool {
	switch c.nr {
	case unix.SYS_MMAP:
		return int32(c.args[4]) < 0 // anonymous: the heap
	case unix.SYS_MUNMAP:
		// The detector's too, and it ends the process if that fails; so does
		// the C library, which gives back stacks of threads.
		return race.Enabled || c.args[1] >= 1<<20 && c.args[1] != piece+1
	case unix.SYS_MADVISE:
		return c.args[2] != unix.MADV_POPULATE_READ && c.args[2] != unix.MADV_POPULATE_WRITE
	case unix.SYS_FUTEX, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGACTION, unix.SYS_SIGALTSTACK,
		unix.SYS_MPROTECT, unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_TGKILL, unix.SYS_SCHED_YIELD,
		unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL,
		unix.SYS_EVENTFD2, unix.SYS_WRITE, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETRANDOM, unix.SYS_PRCTL,
		unix.SYS_RESTART_SYSCALL, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_SCHED_GETAFFINITY, unix.SYS_PRLIMIT64:
		return true
	}
	return false
}

// A verdict is what becomes of a call.
type verdict struct {
	kill bool
	fail unix.Errno // the call returns this error
	made bool       // but is made all the same
}

// trace runs cmd, a child that calls underTrace, and asks on about every call
// of its thread. It returns what became of the child.
func trace(t *testing.T, cmd *exec.Cmd, on func(c sysCall) verdict) error {
	t.Helper()
	runtime.LockOSThread() // a tracer is a thread
	defer runtime.UnlockOSThread()
	in := must[io.WriteCloser](t)(cmd.StdinPipe())
	out := bufio.NewScanner(must[io.ReadCloser](t)(cmd.StdoutPipe()))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // once more does no harm
	defer cmd.Process.Kill()
	out.Scan()
	tid, err := strconv.Atoi(out.Text())
	if err != nil {
		t.Fatalf("the child said %q", out.Text())
	}
	if err := unix.PtraceSeize(tid); errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) {
		t.Skip("ptrace is refused here: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	if err := unix.PtraceInterrupt(tid); err != nil {
		t.Fatal(err)
	}
	for s := awaitStop(t, tid); s.TrapCause() == 0; s = awaitStop(t, tid) {
		unix.PtraceSyscall(tid, int(s.StopSignal()))
	}
	// Should the tracer die, so does the child.
	if err := unix.PtraceSetOptions(tid, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_EXITKILL); err != nil {
		t.Fatal(err)
	}
	if err := unix.PtraceSyscall(tid, 0); err != nil {
		t.Fatal(err)
	}
	in.Write([]byte("x"))
	follow(t, cmd, tid, on)
	return cmd.Wait()
}

// follow goes from stop to stop until the thread has ended.
func follow(t *testing.T, cmd *exec.Cmd, tid int, on func(c sysCall) verdict) {
	synced, entry := false, false
	var v verdict
	for {
		s := awaitStop(t, tid)
		signal := 0
		switch {
		case !s.Stopped():
			return
		case s.StopSignal() == unix.SIGTRAP|0x80:
			c, err := getCall(tid)
			if err != nil {
				continue // it was killed meanwhile, and is to be reaped
			}
			// The first marker tells which stops are before a call and which
			// after it; they alternate from there on.
			if _, ok := c.mark(); ok && !synced {
				synced = true
			} else if !synced {
				break
			}
			if entry = !entry; entry {
				if v = on(c); v.kill {
					cmd.Process.Kill()
				} else if v.fail != 0 && !v.made {
					err = skipCall(tid)
				}
			} else if v.fail != 0 {
				err = setResult(tid, v.fail)
			}
			if err != nil {
				t.Fatal(err)
			}
		case s.TrapCause() <= 0: // a signal on its way to it: Go's own
			signal = int(s.StopSignal())
		}
		if err := unix.PtraceSyscall(tid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			t.Fatal(err)
		}
	}
}

// awaitStop waits for the next stop of a traced thread, or for its end.
func awaitStop(t *testing.T, tid int) (s unix.WaitStatus) {
	t.Helper()
	_, err := again(func() (int, error) { return unix.Wait4(tid, &s, syscall.WALL, nil) })
	if err != nil && !errors.Is(err, unix.ECHILD) {
		t.Fatal(err)
	}
	if err != nil {
		return 0 // as of one that has exited
	}
	return s
}
