// What holds when a wake is lost with a process that dies:
//   - an unlocker killed between its release and its wake (P-M1, T20);
//   - a sleeper killed after a wake was spent on it, for a free word (P-M2, T21)
//     or for an orphan (P-M3);
//   - the same, and a third takes the word without WAITERS (T20, T21);
//   - a waiter that gives up as it is woken;
//     in all of them the others that sleep get the lock, by the look;
//   - who inherits an orphan knows that others may sleep: WAITERS is set, and its
//     unlock wakes them at once rather than leave them to the look (INV-M4, P-M4);
//   - the process that woke up last takes the lock with WAITERS (INV-M3, P-M9);
//   - a release that comes late hits nobody else's word (INV-M1, P-K15).
//
// The deaths are arranged without the code under test: a peer changes the word
// as Unlock would and dies instead of waking, or sleeps on it as a waiter would
// and dies of its wake. The kernel serves sleepers in order, so the first to
// sleep is the one that is woken. marks_test.go kills the real code.
package mutex

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/futex"
	"interlock/internal/proc"
	"interlock/internal/proctest"
	"interlock/internal/robust"
	"interlock/internal/spin"
)

// recovered waits for the peer to say that it holds the lock, and checks the time
// since t0.
func recovered(t *testing.T, b *board, waiter peer, t0 int64) time.Duration {
	t.Helper()
	waiter.Expect("held")
	d := time.Duration(b.held.Load() - t0)
	t.Logf("lost wake to acquired: %v", d)
	if proctest.TooLate(d) {
		t.Errorf("it took %v", d)
	}
	return d
}

// byWakes fails the test if the look, every 40 ms, has done what wakes should. A
// round returns how long that took, 0 if it did not come to it. A look is never that
// fast in most rounds.
func byWakes(t *testing.T, what string, round func() time.Duration) {
	t.Helper()
	proctest.SkipEmulated(t, "a wake may take as long as a look")
	const rounds, fast = 9, 10 * time.Millisecond
	proctest.Measure(t, func() (complaint string) {
		var took []time.Duration
		for range rounds {
			if d := round(); d > 0 {
				took = append(took, d)
			}
		}
		if len(took) == 0 {
			return what + ": no round came to it"
		}
		t.Logf("%s: median %v, worst %v", what, median(took), worst(took))
		if d := worst(took); proctest.TooLate(d) {
			t.Errorf("%s took %v", what, d)
		}
		if median(took) >= fast {
			return fmt.Sprintf("%s took %v: the look did it, not a wake", what, median(took))
		}
		return ""
	})
}

func TestAnUnlockerDiesBeforeItsWake(t *testing.T) { // P-M1
	f, b := newBoard(t)
	holder, waiter := startPeer(t, f), startPeer(t, f)
	holder.do("lock", "held")
	waiter.asleep(t, "lock", 1)
	holder.Send("abandon")
	holder.WaitKilled(unix.SIGKILL)
	recovered(t, b, waiter, b.died.Load())
	waiter.do("unlock", "free")
}

func TestASleeperDiesOfItsWake(t *testing.T) { // P-M2
	f, b := newBoard(t)
	thief, waiter := startPeer(t, f), startPeer(t, f)
	mustHold(t, &b.m)
	b.m.word.Or(robust.Waiters)
	thief.asleep(t, "thief", 1)
	waiter.asleep(t, "lock", 1)
	freed := now()
	b.m.Unlock()
	thief.WaitKilled(unix.SIGKILL)
	recovered(t, b, waiter, freed)
	waiter.do("unlock", "free")
}

func TestASleeperDiesOfTheKernelsWake(t *testing.T) { // P-M3
	proctest.NeedsRobustLists(t)
	f, b := newBoard(t)
	holder, thief, waiter := startPeer(t, f), startPeer(t, f), startPeer(t, f)
	holder.do("lock", "held", "tear", "ok")
	waiter.do("repair ok", "ok")
	b.m.word.Or(robust.Waiters)
	thief.asleep(t, "thief", 1)
	waiter.asleep(t, "lock", 1)
	killed := now()
	holder.Kill()
	thief.WaitKilled(unix.SIGKILL)
	recovered(t, b, waiter, killed)
	if b.repair != 1 || b.before != b.after {
		t.Errorf("%d repairs; pair %d, %d", b.repair, b.before, b.after)
	}
	waiter.do("unlock", "free")
}

// barge plays a scene until the test process takes the mutex ahead of the look,
// and so without WAITERS: a word that no unlock would wake for. The scene frees
// the mutex beside a sleeper that nobody wakes, and returns it.
func barge(t *testing.T, b *board, scene func() (waiter peer)) (waiter peer) {
	t.Helper()
	for range 20 {
		mustHold(t, &b.m) // the barger has used it before
		b.m.Unlock()
		waiter = scene()
		pid := 0 // who holds it
		for pid != unix.Getpid() && pid != waiter.Pid {
			b.m.TryLock()
			pid, _ = b.m.Owner()
		}
		if pid == unix.Getpid() {
			if b.m.word.Load()&robust.Waiters == 0 {
				return waiter
			}
			b.m.Unlock()
		}
		waiter.Expect("held")
		waiter.do("unlock", "free")
	}
	t.Skip("the look came first, 20 times")
	panic("unreachable")
}

func TestABargerInTheGap(t *testing.T) { // T20
	f, b := newBoard(t)
	waiter := barge(t, b, func() peer {
		holder, waiter := startPeer(t, f), startPeer(t, f)
		holder.do("lock", "held")
		waiter.asleep(t, "lock", 1)
		holder.Send("abandon")
		holder.WaitKilled(unix.SIGKILL)
		return waiter
	})
	proctest.Until(t, "WAITERS, set again by the look", func() bool { return b.m.word.Load()&robust.Waiters != 0 })
	proctest.AwaitSleepers(t, waiter.Pid, 1)
	freed := now()
	b.m.Unlock()
	recovered(t, b, waiter, freed)
	waiter.do("unlock", "free")
}

func TestASleeperDiesOfItsWakeAndABargerHolds(t *testing.T) { // T21
	f, b := newBoard(t)
	waiter := barge(t, b, func() peer {
		thief, waiter := startPeer(t, f), startPeer(t, f)
		mustHold(t, &b.m)
		b.m.word.Or(robust.Waiters)
		thief.asleep(t, "thief", 1)
		waiter.asleep(t, "lock", 1)
		b.m.Unlock()
		thief.WaitKilled(unix.SIGKILL)
		return waiter
	})
	freed := now()
	b.m.Unlock() // at once: only the look can have set WAITERS by now
	recovered(t, b, waiter, freed)
	waiter.do("unlock", "free")
}

// A stopped sleeper is out of the kernel's queue, so a wake goes to the next one.
func TestAStoppedSleeperTakesNoWake(t *testing.T) { // T31
	f, b := newBoard(t)
	mustHold(t, &b.m)
	stopped, waiter := startPeer(t, f), startPeer(t, f)
	stopped.asleep(t, "lock", 1)
	waiter.asleep(t, "lock", 1)
	stopped.Stop()
	freed := now()
	b.m.Unlock()
	recovered(t, b, waiter, freed)
	waiter.do("unlock", "free")
	stopped.Cont()
	stopped.Expect("held")
	stopped.do("unlock", "free")
}

func TestAWakeThatMeetsACancelledWaiterIsPassedOn(t *testing.T) { // T15
	f, b := newBoard(t)
	waiter, holder := startPeer(t, f), startPeer(t, f)
	var took []time.Duration
	for range 30 {
		holder.do("lock", "held")
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- b.m.LockContext(ctx) }() // first to sleep, first to be woken
		proctest.AwaitSleepers(t, unix.Getpid(), 1)
		waiter.asleep(t, "lock", 1)
		freed := now()
		go cancel()
		holder.do("unlock", "free")
		if err := <-ended; err == nil {
			freed = now()
			b.m.Unlock()
		}
		waiter.Expect("held")
		took = append(took, time.Duration(b.held.Load()-freed))
		waiter.do("unlock", "free")
		cancel()
	}
	t.Logf("to the next sleeper: median %v, worst %v", median(took), worst(took))
	if d := worst(took); proctest.TooLate(d) {
		t.Errorf("it took %v", d)
	}
}

// While the repair runs, the word must say that others sleep. They do: the
// kernel woke one of two.
func TestAnHeirKnowsThatOthersSleep(t *testing.T) { // INV-M4, E-M7, P-M4
	f, b := newBoard(t)
	third := startPeer(t, f)
	byWakes(t, "from the heir's unlock to the third's lock", func() time.Duration {
		holder, heir := startPeer(t, f), startPeer(t, f)
		holder.do("lock", "held")
		heir.do("repair ask", "ok")
		heir.asleep(t, "pass", 1)
		third.asleep(t, "lock", 1)
		holder.Kill()
		heir.Line() // repairing
		if v := b.m.word.Load(); v&robust.Waiters == 0 {
			t.Fatalf("the heir holds it without WAITERS: %#x", v)
		}
		w := proctest.Begin()
		heir.do("ok", "passed")
		defer heir.Kill()
		switch line := third.Line(); line {
		case "held":
			took := w.Less(time.Duration(b.held.Load() - b.freed.Load()))
			third.do("unlock", "free")
			return took
		case "panic dead": // it had changed places with the heir in the kernel's queue
		default:
			t.Fatalf("the third says %q", line)
		}
		return 0
	})
}

func TestAnHeirSetsWaitersOfItsOwn(t *testing.T) { // INV-M4: a holder's orphan may have lost the bit
	proctest.NeedsRobustLists(t)
	f, b := newBoard(t)
	bequeath(t, f)
	if b.m.word.Load() != robust.OwnerDied {
		t.Fatalf("not an orphan without waiters: %v", b)
	}
	heir := startPeer(t, f)
	heir.do("repair ask", "ok")
	heir.Send("lock")
	heir.Line()
	if v := b.m.word.Load(); v&robust.Waiters == 0 {
		t.Errorf("the heir holds it without WAITERS: %#x", v)
	}
	heir.do("ok", "held", "unlock", "free")
}

func TestASleeperLocksWithWaiters(t *testing.T) { // INV-M3, P-M9
	f, b := newBoard(t)
	mustHold(t, &b.m)
	waiter := startPeer(t, f)
	waiter.asleep(t, "lock", 1)
	b.m.Unlock()
	waiter.Expect("held")
	if v := b.m.word.Load(); v&robust.Waiters == 0 {
		t.Errorf("one that slept holds it without WAITERS: %#x", v)
	}
	waiter.do("unlock", "free")
}

// All sleepers of several processes get it in turn, by wakes: the whole round
// takes less than one look per sleeper would.
func TestSleepersAreServedByWakes(t *testing.T) {
	const procs = 8
	f, b := newBoard(t)
	byWakes(t, fmt.Sprintf("%d sleepers in turn", procs), func() time.Duration {
		mustHold(t, &b.m)
		var peers []peer
		for range procs {
			p := startPeer(t, f)
			p.asleep(t, "pass", 1)
			peers = append(peers, p)
		}
		w := proctest.Begin()
		b.m.Unlock()
		for _, p := range peers {
			p.Expect("passed")
		}
		took := w.Took(b.held.Load())
		for _, p := range peers {
			p.Kill()
		}
		return took
	})
}

func TestUnlockWakesOneSleeperOnly(t *testing.T) { // T86
	proctest.SkipEmulated(t, "who is woken may be slower than another one's look")
	f, b := newBoard(t)
	mustHold(t, &b.m)
	waiter := startPeer(t, f)
	waiter.asleep(t, "lock", 1)
	another := startPeer(t, f)
	another.asleep(t, "lock", 1)
	b.m.Unlock()
	waiter.Expect("held")
	another.Silent(100 * time.Millisecond)
	// The kernel still has it, and would wake it if asked.
	if n, err := futex.Wake(&b.m.word, 10); n != 1 || err != nil {
		t.Errorf("%d sleepers are left, %v", n, err)
	}
	waiter.do("unlock", "free")
	another.Expect("held")
	another.do("unlock", "free")
}

// A process can be killed between any two instructions, and one of its threads
// still run for a moment: its release may come when the kernel has marked the
// word and an heir has it already.
func TestALateReleaseHitsNobodyElse(t *testing.T) { // INV-M1, P-K15
	_, b := newBoard(t)
	proc.Start()
	word := &b.m.word
	ours := proc.TID(proc.Me()) | robust.Waiters
	heirs := uint32(unix.Getppid()) | robust.Waiters
	var inherited atomic.Int64
	var stop atomic.Bool
	stopped := make(chan bool)
	defer func() { // before the memory is unmapped
		stop.Store(true)
		<-stopped
	}()
	go func() { // the kernel, and then the heir
		defer close(stopped)
		for !stop.Load() {
			if word.CompareAndSwap(ours, robust.OwnerDied|robust.Waiters) {
				inherited.Add(1)
				word.CompareAndSwap(robust.OwnerDied|robust.Waiters, heirs)
			}
		}
	}()
	inTime, late := 0, 0
	for range 200000 {
		before := inherited.Load()
		word.Store(ours)
		spin.Pause(uint32(rand.N(4)))
		_, _, ok := b.m.release(1)
		switch {
		case ok && (inherited.Load() != before || word.Load() != 0):
			t.Fatalf("it released what the heir holds: %v", b)
		case ok:
			inTime++
		default:
			late++
			for word.Load() != heirs {
				runtime.Gosched()
			}
		}
	}
	t.Logf("%d releases in time, %d late", inTime, late)
	word.Store(0)
}
