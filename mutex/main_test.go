// The tests of the mutex. They run its real users: other processes, which are
// stopped and killed in every way, at addresses of their own.
//
//	exclusion_test.go   it is a lock
//	cancel_test.go      giving up the wait: exact, prompt, loses nothing
//	death_test.go       owners die in every way; a waiter learns of it in time
//	orphan_test.go      what an orphan is until somebody repairs it
//	repair_test.go      which repair runs, and when
//	lost_test.go        wakes that die with a process, and the look that replaces them
//	marks_test.go       deaths between two steps of the protocol (-tags marks)
//	unmarked_test.go    deaths that the kernel did not mark: the 2048, seccomp
//	detach_test.go      memory that is unmapped, and mapped again
//	c_test.go           the layout, and C programs on the other side
//	hostile_test.go     any bytes in the 40, and memory that cannot be written
//	namespace_test.go   PID and time namespaces, recycled PIDs
//	fast_test.go        the fast path allocates nothing; what -race says
//
// Times are promises of 1 ms typically and 100 ms at the latest. They are
// printed; a test fails at ten times the promise.
package mutex

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proc"
	"interlock/internal/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// board is what the tests have in shared memory.
type board struct {
	m      Mutex
	_      [24]byte
	inside uint64 // who is in the critical section, 0 if nobody
	count  uint64 // plain: only the lock makes it exact
	before uint64 // equal to after, unless somebody died between the two stores
	after  uint64
	repair uint64       // repairs run so far
	held   atomic.Int64 // when a peer got the lock last, by now
	freed  atomic.Int64 // when a peer began its last unlock
	died   atomic.Int64 // when a peer began to die
}

func (b *board) String() string { return describe(&b.m) }

func describe(m *Mutex) string {
	return fmt.Sprintf("word %#x owner %#x kind %#x prev %#x (pid %d) next %#x",
		m.word.Load(), m.owner.Load(), m.kind.Load(), m.prev.Load(), proc.PID(m.prev.Load()), m.next.Load())
}

// newBoard makes a board and sets a watchdog that describes it.
func newBoard(t testing.TB) (*os.File, *board) {
	t.Helper()
	f, mem := proctest.Memfd(t, os.Getpagesize())
	b := at[board](mem, 0)
	proctest.Watchdog(t, 3*time.Minute, b.String)
	return f, b
}

// now is CLOCK_MONOTONIC, which is one clock for all processes.
func now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// uptime is the time since boot, as this process's time namespace has it.
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

func since(t0 int64) time.Duration { return time.Duration(now() - t0) }

// within is a context with a deadline.
func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// lockInTime is LockContext, which must return before it is too late, with whatever.
func lockInTime(t testing.TB, m *Mutex) error {
	t.Helper()
	start := time.Now()
	err := m.LockContext(within(t, proctest.Patience))
	if d := time.Since(start); proctest.TooLate(d) {
		t.Errorf("LockContext took %v: %v; %s", d, err, describe(m))
	}
	return err
}

// mustHold locks m in the test process in time.
func mustHold(t testing.TB, m *Mutex) {
	t.Helper()
	if err := lockInTime(t, m); err != nil {
		t.Fatalf("LockContext: %v; %s", err, describe(m))
	}
}

// mustWait proves as far as a test can that m is held by somebody alive.
func mustWait(t testing.TB, m *Mutex, d time.Duration) {
	t.Helper()
	if err := m.LockContext(within(t, d)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("LockContext of a held mutex: %v; %s", err, describe(m))
	}
}

// panicked runs f and returns what it panicked with, nil if it did not.
func panicked(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

// answer is an error in the words of a peer.
func answer(err error) string {
	for _, is := range []struct {
		err  error
		word string
	}{
		{ErrOwnerDead, "dead"},
		{ErrNotRecoverable, "condemned"},
		{ErrPIDNamespace, "foreign"},
		{ErrNotShared, "not shared"},
		{context.DeadlineExceeded, "deadline"},
		{unix.EFAULT, "fault"},
	} {
		if errors.Is(err, is.err) {
			return is.word
		}
	}
	if err == nil {
		return "held"
	}
	return err.Error()
}

// told is what a peer says of a panic.
func told(value any) string {
	if err, ok := value.(error); ok {
		return "panic " + answer(err)
	}
	return fmt.Sprint("panic ", value)
}

// errRepair is what a failing repair returns.
var errRepair = errors.New("no spare parts")

// median and worst of some times.
func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

func worst(d []time.Duration) time.Duration { return slices.Max(d) }

func itoa(n int) string { return strconv.Itoa(n) }

func twoNumbers(t testing.TB, line string) (a, b uint64) {
	t.Helper()
	if _, err := fmt.Sscan(line, &a, &b); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return a, b
}
