// What holds when an owner dies:
//   - 200 SIGKILLed holders in a row are each recovered by a process that waits,
//     and what was not in their hands is exact;
//   - however a process ends, its locks become orphans (T28, T29);
//   - a stopped owner is not dead (T29, T30, P-K8);
//   - recovery does not wait until the dead one's memory is torn down (T28, P-K16);
//   - a chain of processes that each inherit and die loses nothing (T24);
//   - all holders and waiters killed at once leave usable objects (T34).
//
// In each test the waiter is asleep in the kernel, in another process, when the
// owner dies, and notes in shared memory when it got the lock.
package mutex

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/race"
	"interlock/internal/robust"
)

// orphaned reports whether the mutex is an orphan now.
func orphaned(m *Mutex) bool { return m.word.Load()&robust.OwnerDied != 0 }

func TestTwoHundredKilledHoldersInARow(t *testing.T) {
	const whole = 3
	kills := proctest.Scaled(200, 50)
	f, b := newBoard(t)
	waiter := startPeer(t, f)
	waiter.do("repair ok", "ok")
	var took []time.Duration
	for range kills {
		holder := startPeer(t, f)
		for range whole {
			holder.do("lock", "held", "unlock", "free")
		}
		holder.do("lock", "held", "tear", "ok")
		waiter.asleep(t, "lock", 1)
		killed := now()
		holder.Kill()
		waiter.Expect("held")
		took = append(took, time.Duration(b.held.Load()-killed))
		waiter.do("unlock", "free")
	}
	t.Logf("kill to acquired, %d holders: median %v, worst %v", kills, median(took), worst(took))
	if d := worst(took); proctest.TooLate(d) {
		t.Errorf("the worst recovery took %v", d)
	}
	if want, n := uint64(kills*(whole+2)), uint64(kills); b.count != want || b.repair != n || b.before != n || b.after != n {
		t.Errorf("count %d, want %d; %d repairs; torn pair %d, %d; all want %d", b.count, want, b.repair, b.before, b.after, kills)
	}
}

func TestHoweverAProcessEndsItsLocksBecomeOrphans(t *testing.T) { // T28
	for _, how := range []string{"kill", "group", "exit", "panic", "nil", "segv", "exec"} {
		t.Run(how, func(t *testing.T) {
			f, b := newBoard(t)
			waiter := startPeer(t, f)
			holder := startPeer(t, f, proctest.Attr(func(a *syscall.SysProcAttr) { a.Setpgid = true }))
			waiter.do("repair ok", "ok")
			holder.do("lock", "held", "tear", "ok")
			waiter.asleep(t, "lock", 1)
			holder.Send("die " + how)
			waiter.Expect("held")
			d := time.Duration(b.held.Load() - b.died.Load())
			t.Logf("from the death to acquired: %v", d)
			if proctest.TooLate(d) {
				t.Errorf("it took %v", d)
			}
			if b.before != b.after || b.repair != 1 {
				t.Errorf("%d repairs of a torn pair %d, %d", b.repair, b.before, b.after)
			}
			waiter.do("unlock", "free")
			endOf(t, holder, how)
		})
	}
}

// endOf proves that the holder ended as asked.
func endOf(t *testing.T, p peer, how string) {
	t.Helper()
	switch how {
	case "exec":
		proctest.Until(t, "the end of execve", func() bool { return proctest.Command(p.Pid) == "sleep" })
		p.Kill()
	case "exit":
		p.WaitExit(3)
	case "panic", "nil", "segv":
		p.WaitExit(2)
		if says := map[string]string{"panic": "nobody recovers", "nil": "nil pointer", "segv": "SIGSEGV"}[how]; !strings.Contains(p.Output(), says) {
			t.Errorf("no %q in:\n%s", says, p.Output())
		}
	default:
		p.WaitKilled(unix.SIGKILL)
	}
}

func TestAZombieIsDead(t *testing.T) { // T29, P-K8
	f, b := newBoard(t)
	waiter := startPeer(t, f)
	holder := startPeer(t, f, proctest.Zombie())
	waiter.do("repair ok", "ok")
	holder.do("lock", "held")
	waiter.asleep(t, "lock", 1)
	killed := now()
	holder.Kill()
	waiter.Expect("held")
	if d := time.Duration(b.held.Load() - killed); proctest.TooLate(d) {
		t.Errorf("it took %v", d)
	}
	stat, err := os.ReadFile("/proc/" + itoa(holder.Pid) + "/stat")
	if err != nil || !strings.Contains(string(stat), ") Z ") {
		t.Fatalf("the holder was to be a zombie: %s, %v", stat, err)
	}
	waiter.do("unlock", "free")
}

func TestAStoppedOwnerIsNotDead(t *testing.T) { // T29, T30, P-K8
	f, b := newBoard(t)
	holder := startPeer(t, f)
	holder.do("lock", "held")
	holder.Stop()
	waiter := startPeer(t, f)
	waiter.do("repair ok", "ok", "lockctx 300ms", "deadline")
	mustWait(t, &b.m, 300*time.Millisecond)
	waiter.asleep(t, "lock", 1)
	if b.m.TryLock() {
		t.Fatal("TryLock took what a stopped process holds")
	}
	holder.Cont()
	holder.do("unlock", "free")
	waiter.Expect("held")
	if b.repair != 0 {
		t.Error("the repair ran")
	}
	waiter.do("unlock", "free")
}

func TestAStoppedOwnerThatIsKilledIsDead(t *testing.T) {
	f, b := newBoard(t)
	holder, waiter := startPeer(t, f), startPeer(t, f)
	holder.do("lock", "held")
	waiter.do("repair ok", "ok")
	holder.Stop()
	waiter.asleep(t, "lock", 1)
	killed := now()
	holder.Kill()
	waiter.Expect("held")
	if d := time.Duration(b.held.Load() - killed); proctest.TooLate(d) {
		t.Errorf("it took %v", d)
	}
	waiter.do("unlock", "free")
}

func TestRecoveryDoesNotWaitForTheTearDown(t *testing.T) { // T28, P-K16
	mib := 512
	if proctest.Long() {
		mib = 2048
	}
	var took [2]time.Duration
	for i, fat := range []int{1, mib} {
		f, b := newBoard(t)
		waiter, holder := startPeer(t, f), startPeer(t, f)
		waiter.do("repair ok", "ok")
		holder.do("fat "+itoa(fat), "ok", "lock", "held")
		waiter.asleep(t, "lock", 1)
		killed := now()
		holder.Signal(unix.SIGKILL)
		waiter.Expect("held")
		took[i] = time.Duration(b.held.Load() - killed)
		holder.Kill()
		t.Logf("kill to acquired, holder of %d MiB: %v; to its end: %v", fat, took[i], since(killed))
		waiter.do("unlock", "free")
	}
	if proctest.TooLate(took[1]) {
		t.Errorf("it took %v", took[1])
	}
}

func init() {
	proctest.Register("link of the chain", func(c *proctest.Child) {
		b := at[board](c.Memory(0), 0)
		b.m.OnOwnerDeath(func(pid int) error {
			if b.before != b.after+1 {
				c.Fatalf("the pair of %d is %d, %d", pid, b.before, b.after)
			}
			b.after++
			b.repair++
			return nil
		})
		b.m.Lock()
		b.before++
		c.Check(unix.Kill(os.Getpid(), unix.SIGKILL))
		select {}
	})
}

func TestAChainOfHeirsThatDie(t *testing.T) { // T24
	proctest.NeedsRobustLists(t)
	links := uint64(100)
	if race.Enabled {
		links = 20
	}
	f, b := newBoard(t)
	for range links {
		proctest.Start(t, "link of the chain", proctest.Files(f)).WaitKilled(unix.SIGKILL)
		if !orphaned(&b.m) {
			t.Fatalf("its link died holding it: %v", b)
		}
	}
	if b.before != links || b.after != links-1 || b.repair != links-1 {
		t.Fatalf("after %d links: pair %d, %d, %d repairs", links, b.before, b.after, b.repair)
	}
}

func TestAllKilledAtOnceLeaveItUsable(t *testing.T) { // T34
	f, b := newBoard(t)
	var all []peer
	leader := startPeer(t, f, proctest.Attr(func(a *syscall.SysProcAttr) { a.Setpgid = true }))
	leader.do("lock", "held", "tear", "ok")
	for range 4 {
		p := startPeer(t, f, proctest.Attr(func(a *syscall.SysProcAttr) { a.Setpgid, a.Pgid = true, leader.Pid }))
		p.do("repair ok", "ok")
		p.asleep(t, "lock", 1)
		all = append(all, p)
	}
	leader.Send("die group")
	for _, p := range append(all, leader) {
		p.WaitKilled(unix.SIGKILL)
	}
	next := startPeer(t, f)
	start := now()
	next.do("repair ok", "ok", "lock", "held")
	if d := time.Duration(b.held.Load() - start); proctest.TooLate(d) {
		t.Errorf("the next generation had to wait %v", d)
	}
	if b.before != b.after {
		t.Errorf("the pair is torn: %d, %d", b.before, b.after)
	}
	next.do("unlock", "free")
}
