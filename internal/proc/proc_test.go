// What holds for processes as owners:
//   - the two identity words say who, and cannot be taken for a C pointer, for
//     another start or for another namespace;
//   - Judge: dead is dead, alive is alive, and in doubt it is alive; a zombie and
//     a recycled number are dead, a stopped process is alive (T29, T32, P-K7, P-K8);
//     words that two owners wrote between them prove nothing;
//   - the guardian is not the first thread, and has a name;
//   - Fence waits for every thread that has SIGKILL to take, and can be cancelled;
//   - ProcessOf names a thread's process;
//   - a /proc of another PID namespace, in which the numbers are strangers', is not believed.
package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

func init() {
	proctest.Register("owner", func(c *proctest.Child) {
		Start()
		c.Sayf("%d %d", Me(), Next())
		c.Recv()
	})
	proctest.Register("busy", func(c *proctest.Child) {
		for range 2 * runtime.NumCPU() {
			go func() {
				//lint:ignore SA5002 to keep a CPU busy is the point
				for {
				}
			}()
		}
		c.Say("busy")
		c.Recv()
	})
	proctest.Register("first", func(c *proctest.Child) {
		Start()
		// Another /proc has process 1, too, and that one started long before us.
		_, ticks, err := readStat("/proc/self/stat")
		c.Check(err)
		prev, next := compose(1, 1, ticks, pidNamespace())
		c.Sayf("%d %d %v %d", os.Getpid(), JudgeThread(1, 1, prev, next), startOf(Next()) != 0, ProcessOf(2))
		c.Recv()
	})
	proctest.Register("lingers", func(c *proctest.Child) {
		// The page tables of a million zero pages take the kernel some 50 ms to
		// clear, and no signal ends that.
		mem, err := unix.Mmap(-1, 0, 4<<30, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		c.Check(err)
		c.Check(unix.Madvise(mem, unix.MADV_NOHUGEPAGE))
		c.Check(unix.Madvise(mem, unix.MADV_POPULATE_READ))
		c.Say("lingering")
		c.Check(unix.Madvise(mem, unix.MADV_DONTNEED))
		c.Recv()
	})
}

// owner starts a child and returns its identity.
func owner(t *testing.T, opts ...proctest.Option) (p *proctest.Proc, prev, next uint64) {
	t.Helper()
	p = proctest.Start(t, "owner", opts...)
	if _, err := fmt.Sscan(p.Line(), &prev, &next); err != nil {
		t.Fatal(err)
	}
	return p, prev, next
}

func TestAnIdentitySaysWho(t *testing.T) {
	for _, x := range []struct {
		pid, tid int
		start    uint64
		ns       uint32
	}{{1, 1, 0, 0}, {1<<22 - 1, 1<<22 - 1, 1<<63 + 5, 1<<32 - 1}, {12345, 12349, startMod, 4026531836}, {12345, 12349, startMod - 1, 1}} {
		prev, next := compose(x.pid, x.tid, x.start, x.ns)
		if PID(prev) != x.pid || TID(prev) != uint32(x.tid) || uint32(next) != x.ns {
			t.Errorf("%+v became pid %d, tid %d, ns %d", x, PID(prev), TID(prev), uint32(next))
		}
		if (startOf(next) == 0) != (x.start == 0) {
			t.Errorf("start %d became %d", x.start, startOf(next))
		}
		if prev&flagGo == 0 || next&flagGo == 0 {
			t.Error("it could be a C pointer")
		}
		if u := Unlinked(prev); u == prev || PID(u) != x.pid || TID(u) != TID(prev) || Unlinked(u) != u {
			t.Errorf("unlinked, %#x became %#x", prev, u)
		}
	}
	if PID(0) != 0 || PID(0x7f0012345678) != 0 {
		t.Error("a C pointer names a process")
	}
	if PID(unstarted) != 0 || TID(unstarted) <= 1<<22 {
		t.Error("the identity of a process that has not started could be a real one")
	}
	a, _ := compose(100, 101, 5000, 7)
	b, _ := compose(100, 101, 5001, 7)
	c, _ := compose(100, 101, 5000, 8)
	if a == b || a == c {
		t.Error("prev alone does not tell a recycled number")
	}
}

func TestForeign(t *testing.T) {
	Start()
	ns := uint32(Next())
	if ns == 0 {
		t.Skip("no /proc/self/ns/pid here")
	}
	for next, want := range map[uint64]bool{
		Next():                            false,
		flagGo | 77<<32 | uint64(ns):      false,
		flagGo | 77<<32 | uint64(ns) ^ 1:  true,
		flagGo:                            true, // unknown to its writer
		0:                                 false,
		0x7f0012345678:                    false, // C's
		Next() &^ flagGo:                  false,
		flagGo | 1<<62 | uint64(ns+1<<31): true,
	} {
		if Foreign(next) != want {
			t.Errorf("Foreign(%#x) is %v", next, !want)
		}
	}
}

func TestTheGuardian(t *testing.T) {
	before := Me()
	Start()
	Start()
	if before != unstarted && before != Me() {
		t.Errorf("from %#x to %#x", before, Me())
	}
	if PID(Me()) != os.Getpid() || int(TID(Me())) == os.Getpid() {
		t.Errorf("pid %d, guardian's TID %d in process %d", PID(Me()), TID(Me()), os.Getpid())
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/comm", TID(Me())))
	if err != nil || string(name) != "interlock-guard\n" {
		t.Errorf("its name is %q, %v", name, err)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err == nil && uint32(st.Ino) != uint32(Next()) {
		t.Errorf("our PID namespace is %d, the identity says %d", st.Ino, uint32(Next()))
	}
	if startOf(Next()) == 0 {
		t.Error("no start time")
	}
}

func TestJudge(t *testing.T) { // T29, T32, P-K7, P-K8
	Start()
	live, prev, next := owner(t)
	dead, deadPrev, deadNext := owner(t)
	dead.Kill()
	zombie, zombiePrev, zombieNext := owner(t, proctest.Zombie())
	zombie.Kill()
	stopped, stoppedPrev, stoppedNext := owner(t)
	stopped.Stop()
	ticks := startOf(next) - 1
	recycled := func(pid int, ns uint32) (uint64, uint64) { return compose(pid, int(TID(prev)), ticks-100, ns) }
	oldPrev, oldNext := recycled(live.Pid, uint32(next))
	farPrev, farNext := compose(live.Pid, int(TID(prev)), ticks, uint32(next)+1)
	unkPrev, unkNext := compose(live.Pid, int(TID(prev)), 0, uint32(next))
	unusedTID := uint32(1<<22 + 5)
	for _, x := range []struct {
		what       string
		tid        uint32
		prev, next uint64
		want       Verdict
	}{
		{"we", TID(Me()), Me(), Next(), Alive},
		{"we, unlinked", TID(Me()), Unlinked(Me()), Next(), Alive},
		{"a live child", TID(prev), prev, next, Alive},
		{"the same, unlinked", TID(prev), Unlinked(prev), next, Alive},
		{"a dead child", TID(deadPrev), deadPrev, deadNext, Dead},
		{"the same, unlinked", TID(deadPrev), Unlinked(deadPrev), deadNext, Dead},
		{"a zombie", TID(zombiePrev), zombiePrev, zombieNext, Dead},
		{"a stopped child", TID(stoppedPrev), stoppedPrev, stoppedNext, Alive},
		{"its numbers, recycled", TID(prev), oldPrev, oldNext, Dead},
		{"its numbers, start unknown", TID(prev), unkPrev, unkNext, Alive},
		{"another namespace", TID(prev), farPrev, farNext, Alive},
		{"another namespace, dead", TID(deadPrev), deadPrev, deadNext ^ 1, Alive},
		{"the live child, and next is the dead one's: a late store", TID(prev), prev, deadNext, Alive},
		{"the live child, and next is from long ago", TID(prev), prev, oldNext, Alive},
		{"C", 12345, 0x7f0012345678, 0x7f0012345678, Alive},
		{"C, a TID that cannot be", unusedTID, 0x7f0012345678, 0, Alive},
		{"nobody recorded, a live TID", TID(prev), 0, 0, Alive},
		{"nobody recorded, no such TID", unusedTID, 0, 0, Unrecorded},
		{"recorded by another, a live TID", TID(prev), deadPrev, deadNext, Alive},
		{"recorded by another, no such TID", TID(deadPrev), prev, next, Unrecorded},
		{"recorded by us, no such TID", TID(deadPrev), Me(), Next(), Unrecorded},
		{"TID 0", 0, 0, 0, Alive},
		{"the largest TID", 1<<30 - 1, 0, 0, Unrecorded},
		{"all ones", 1<<30 - 1, 1<<64 - 1, 1<<64 - 1, Alive},
		{"process 0", 5, flagGo | 5, next, Alive},
	} {
		if got := Judge(x.tid, x.prev, x.next); got != x.want {
			t.Errorf("%s: verdict %d, want %d", x.what, got, x.want)
		}
		var r Round
		r.Judge(1, x.tid, x.prev, x.next)
		if got := r.Judge(1, x.tid, x.prev, x.next); got != x.want {
			t.Errorf("%s: verdict of a round %d, want %d", x.what, got, x.want)
		}
	}
	stopped.Cont()
}

func TestARoundJudgesEachWordByItself(t *testing.T) {
	Start()
	live, prev, _ := owner(t)
	dead, deadPrev, deadNext := owner(t)
	dead.Kill()
	var r Round
	if got := r.Judge(1, TID(prev), deadPrev, deadNext); got != Alive {
		t.Errorf("a live TID beside a dead record: %d", got)
	}
	if got := r.Judge(1, TID(deadPrev), deadPrev, deadNext); got != Dead {
		t.Errorf("the dead one's own word, in the same round: %d", got)
	}
	live.Kill()
}

func TestProcessOf(t *testing.T) {
	Start()
	p, prev, _ := owner(t)
	for tid, want := range map[int]int{int(TID(Me())): os.Getpid(), p.Pid: p.Pid, int(TID(prev)): p.Pid, 1<<22 + 5: 0, 0: 0, -1: 0} {
		if got := ProcessOf(tid); got != want {
			t.Errorf("ProcessOf(%d) is %d, not %d", tid, got, want)
		}
	}
}

// What `unshare --pid` leaves: the first process of a PID namespace, with the /proc of ours.
func TestAnOuterProcIsNotBelieved(t *testing.T) {
	attr := func(a *syscall.SysProcAttr) { a.Cloneflags = unix.CLONE_NEWPID }
	try := exec.Command("true")
	try.SysProcAttr = &syscall.SysProcAttr{}
	attr(try.SysProcAttr)
	if err := try.Run(); err != nil {
		proctest.Excuse("first")
		t.Skipf("may not make a PID namespace: %v", err)
	}
	p := proctest.Start(t, "first", proctest.Attr(attr))
	if got, want := p.Line(), fmt.Sprintf("1 %d true 0", Alive); got != want {
		t.Errorf("%s, not %s: pid, itself judged, is its start known, the process of a stranger", got, want)
	}
	p.Kill()
}

func TestKillPending(t *testing.T) {
	const head = "Name:\tSigPnd: ffff\nUmask:\t0022\n"
	for status, want := range map[string]bool{
		head + "State:\tR (running)\nSigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n": true,
		head + "State:\tS (sleeping)\nSigPnd:\t0000000000000101\n":                           true,
		head + "State:\tR (running)\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n": false,
		head + "State:\tD (disk sleep)\nSigPnd:\t0000000000000100\n":                         false,
		head + "State:\tR (running)\nSigPnd:\t0000000000040000\n":                            false,
		head + "State:\tR (running)\n":                                                       false,
		head + "State:\tR (running)\nSigPnd:\tx\n":                                           false,
		"": false,
	} {
		if got := killPending([]byte(status)); got != want {
			t.Errorf("%v for %q", got, status)
		}
	}
}

// toTake counts the threads of a process that have SIGKILL still to take.
func toTake(pid int) (n int) {
	files, _ := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/status")
	for _, file := range files {
		if status, err := os.ReadFile(file); err == nil && killPending(status) {
			n++
		}
	}
	return n
}

func TestTheFenceWaitsForEveryThread(t *testing.T) {
	proctest.Watchdog(t, time.Minute, nil)
	waited := 0
	for range 20 {
		p := proctest.Start(t, "busy")
		p.Expect("busy")
		p.Signal(unix.SIGKILL)
		if toTake(p.Pid) > 0 {
			waited++
		}
		if err := Fence(context.Background(), p.Pid); err != nil {
			t.Fatal(err)
		}
		if n := toTake(p.Pid); n > 0 {
			t.Fatalf("%d threads of the dead one have still to stop", n)
		}
		p.AwaitDeath()
	}
	t.Logf("in %d rounds of 20 there was something to wait for", waited)
}

func TestTheFenceWaitsForASystemCall(t *testing.T) {
	proctest.Watchdog(t, time.Minute, nil)
	p := proctest.Start(t, "lingers")
	p.Expect("lingering")
	start := time.Now()
	p.Signal(unix.SIGKILL)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err := Fence(ctx, p.Pid)
	if n := toTake(p.Pid); n > 0 && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the fence fell after %v with %d threads to stop: %v", time.Since(start), n, err)
	}
	if err := Fence(context.Background(), p.Pid); err != nil || toTake(p.Pid) > 0 {
		t.Errorf("the fence fell after %v with %d threads to stop: %v", time.Since(start), toTake(p.Pid), err)
	}
	t.Logf("the fence stood for %v", time.Since(start))
	p.WaitKilled(unix.SIGKILL)
}

func TestTheFenceDoesNotWaitForTheLiving(t *testing.T) {
	proctest.Watchdog(t, time.Minute, nil)
	p, _, _ := owner(t)
	stopped, _, _ := owner(t)
	stopped.Stop()
	gone, _, _ := owner(t)
	gone.Kill()
	for _, pid := range []int{0, os.Getpid(), p.Pid, stopped.Pid, gone.Pid, 1<<22 + 5} {
		if err := Fence(context.Background(), pid); err != nil {
			t.Errorf("Fence(%d): %v", pid, err)
		}
	}
	stopped.Cont()
}

func TestAThreadsNameMayHoldAnything(t *testing.T) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread and its name end with the goroutine
		if err := os.WriteFile(fmt.Sprintf("/proc/self/task/%d/comm", unix.Gettid()), []byte("a) Z (b) 1 2"), 0); err != nil {
			done <- err
			return
		}
		state, ticks, err := threadStat(os.Getpid(), unix.Gettid())
		if err == nil && (state == 'Z' || ticks == 0 || bytes.IndexByte([]byte("RS"), state) < 0) {
			err = fmt.Errorf("state %c, start %d", state, ticks)
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
