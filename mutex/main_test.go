// The tests of the mutex. They run its real users: other processes, which are
// stopped and killed in every way, at addresses of their own.
//
//	exclusion_test.go   it is a lock
//	cancel_test.go      giving up the wait: exact, prompt, loses nothing
//	death_test.go       owners die in every way; a waiter learns of it in time
//	orphan_test.go      what an orphan is until somebody repairs it
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
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/futex"
	"interlock/internal/proc"
	"interlock/internal/proctest"
	"interlock/internal/robust"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// tooLate is ten times the promise.
const tooLate = time.Second

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
	proctest.Watchdog(t, 2*time.Minute, b.String)
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

// mustHold locks m in the test process within the time that is too late.
func mustHold(t testing.TB, m *Mutex) {
	t.Helper()
	if err := m.LockContext(within(t, tooLate)); err != nil {
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

// A peer is another process that does to the board's mutex what the test says,
// a line each, and answers with a line. See (*puppet).do.
type peer struct{ *proctest.Proc }

func startPeer(t testing.TB, f *os.File, opts ...proctest.Option) peer {
	t.Helper()
	return peer{proctest.Start(t, "peer", append(opts, proctest.Files(f))...)}
}

// do sends the peer each order and expects its answer: pairs of order and answer.
func (p peer) do(ordersAndAnswers ...string) {
	for i := 0; i < len(ordersAndAnswers); i += 2 {
		p.Send(ordersAndAnswers[i])
		p.Expect(ordersAndAnswers[i+1])
	}
}

// asleep sends an order that must block, and returns when n goroutines' worth
// of it sleep in the kernel.
func (p peer) asleep(t testing.TB, order string, n int) {
	t.Helper()
	p.Send(order)
	proctest.AwaitSleepers(t, p.Pid, n)
}

func init() {
	proctest.Register("peer", func(c *proctest.Child) {
		p := &puppet{c: c, b: at[board](c.Memory(0), 0)}
		for {
			p.do(strings.Fields(c.Recv()))
		}
	})
}

// A puppet is the peer's side.
type puppet struct {
	c     *proctest.Child
	b     *board
	large []byte // address space whose page tables take long to clear
}

// do carries out one order:
//
//	lock, try, lockctx [DUR]   answer "held", "busy" or why not; notes the time
//	go ORDER…                  the same in a goroutine, which answers when it is over
//	unlock                     "free" or "panic …"
//	pass                       lock, at once unlock: "passed"
//	repair HOW                 registers a repair: ok, error, panic, condemn, ask, nil
//	tear                       adds to `before` but not to `after`
//	abandon                    frees the word without the wake that is due, and dies (P-M1)
//	thief                      sleeps on the word, uses up a wake, and dies (P-M2)
//	refuse robust|waitv        a seccomp filter
//	fat MIB                    has that much memory
//	doom                       prepares for linger
//	linger                     "lingering", then a system call of some 50 ms that no signal ends
//	mount                      mounts the /proc of its own PID namespace
//	uptime                     seconds since boot, in its own time namespace
//	die HOW                    see die
//	spawn                      starts children of its own, and sees them die
func (p *puppet) do(order []string) {
	m, say := &p.b.m, p.c.Say
	switch order[0] {
	case "lock", "try", "lockctx":
		say(p.lock(order))
	case "go":
		go p.do(order[1:])
	case "unlock":
		p.b.freed.Store(now())
		if v := panicked(m.Unlock); v != nil {
			say(told(v))
			return
		}
		say("free")
	case "pass":
		m.Lock()
		p.b.held.Store(now())
		p.b.freed.Store(now())
		m.Unlock()
		say("passed")
	case "repair":
		m.OnOwnerDeath(p.repair(order[1]))
		say("ok")
	case "tear":
		p.b.before++
		say("ok")
	case "abandon":
		tid := proc.TID(proc.Me())
		if !m.word.CompareAndSwap(tid|robust.Waiters, 0) {
			p.c.Fatalf("nobody waits: %v", p.b)
		}
		p.die("kill")
	case "thief":
		p.c.Check(futex.Wait(&m.word, m.word.Load()))
		p.die("kill")
	case "refuse":
		p.c.Check(refuse(map[string]int{"robust": unix.SYS_SET_ROBUST_LIST, "waitv": unix.SYS_FUTEX_WAITV}[order[1]]))
		say("ok")
	case "die":
		p.die(order[1])
	case "spawn":
		p.spawn()
		say("ok")
	case "doom":
		p.doom()
		say("ok")
	case "linger":
		say("lingering")
		p.c.Check(unix.Madvise(p.large, unix.MADV_DONTNEED))
	case "mount":
		p.c.Check(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		p.c.Check(unix.Mount("proc", "/proc", "proc", 0, ""))
		say("ok")
	case "uptime":
		say(itoa(int(uptime() / time.Second)))
	case "fat":
		p.fatten(order[1])
		say("ok")
	default:
		p.c.Fatalf("unknown order %q", order)
	}
}

// lock locks in the way of the order. A peer that gets the lock counts.
func (p *puppet) lock(order []string) (said string) {
	m := &p.b.m
	defer func() {
		if v := recover(); v != nil {
			said = told(v)
		}
	}()
	switch {
	case order[0] == "try":
		if !m.TryLock() {
			return "busy"
		}
	case order[0] == "lock":
		m.Lock()
	default:
		ctx := context.Background()
		if len(order) > 1 {
			d, err := time.ParseDuration(order[1])
			p.c.Check(err)
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, d)
			defer cancel()
		}
		if err := m.LockContext(ctx); err != nil {
			return answer(err)
		}
	}
	p.b.held.Store(now())
	p.b.count++
	return "held"
}

func (p *puppet) repair(how string) func(int) error {
	heal := func() error {
		p.b.repair++
		p.b.after = p.b.before
		return nil
	}
	return map[string]func(int) error{
		"nil":     nil,
		"ok":      func(int) error { return heal() },
		"error":   func(int) error { return errRepair },
		"panic":   func(int) error { panic("the repair panics") },
		"condemn": func(int) error { return fmt.Errorf("beyond hope: %w", ErrNotRecoverable) },
		"ask": func(pid int) error {
			p.c.Sayf("repairing after %d", pid)
			return p.repair(p.c.Recv())(pid)
		},
	}[how]
}

// die ends the process in a way that an owner can.
func (p *puppet) die(how string) {
	p.b.died.Store(now())
	switch how {
	case "kill":
		p.c.Check(unix.Kill(os.Getpid(), unix.SIGKILL))
	case "group":
		p.c.Check(unix.Kill(-os.Getpid(), unix.SIGKILL))
	case "exit":
		os.Exit(3)
	case "panic":
		go panic("nobody recovers")
	case "segv":
		p.c.Check(unix.Kill(os.Getpid(), unix.SIGSEGV))
	case "nil":
		go func() { *nowhere = 1 }()
	case "exec":
		p.c.Check(unix.Exec("/bin/sleep", []string{"sleep", "3600"}, os.Environ()))
	default:
		p.c.Fatalf("unknown death %q", how)
	}
	select {}
}

var nowhere *int

// spawn has children that end by themselves and by force.
func (p *puppet) spawn() {
	p.c.Check(exec.Command("true").Run())
	cmd := exec.Command("sleep", "3600")
	p.c.Check(cmd.Start())
	p.c.Check(cmd.Process.Kill())
	cmd.Wait() // killed, says its error
}

func (p *puppet) fatten(mib string) {
	var n int
	_, err := fmt.Sscan(mib, &n)
	p.c.Check(err)
	_, err = unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	p.c.Check(err)
}

// doom maps the zero page a million times: page tables, and no memory.
func (p *puppet) doom() {
	var err error
	p.large, err = unix.Mmap(-1, 0, 4<<30, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	p.c.Check(err)
	p.c.Check(unix.Madvise(p.large, unix.MADV_NOHUGEPAGE))
	p.c.Check(unix.Madvise(p.large, unix.MADV_POPULATE_READ))
}

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
