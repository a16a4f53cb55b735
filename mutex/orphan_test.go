// What holds for an orphan:
//   - without a repair nobody takes it, everybody is told, promptly, and nobody
//     holds it; a process with a repair heals it for all (T22);
//   - a repair that fails, by error or panic, leaves it an orphan, and who died
//     is still known;
//   - condemned, it is so for all, for those asleep and for those still to come
//     (T22, P-M7);
//   - a repairer that dies before or inside its repair leaves an orphan, one that
//     dies after it and holds leaves an orphan, one that let go a whole mutex (T23).
package mutex

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"interlock/internal/inherit"
	"interlock/internal/proctest"
	"interlock/internal/robust"
)

// bequeath makes the board's mutex an orphan of a real process, and returns its pid.
func bequeath(t *testing.T, f *os.File) int {
	t.Helper()
	p := startPeer(t, f)
	p.do("repair ok", "ok", "lock", "held", "tear", "ok")
	p.Kill()
	return p.Pid
}

// isOwnerDead checks the error of an orphan that pid left.
func isOwnerDead(t *testing.T, err any, pid int) {
	t.Helper()
	e, ok := err.(error)
	if !ok || !errors.Is(e, ErrOwnerDead) {
		t.Fatalf("not an error that is ErrOwnerDead: %v", err)
	}
	if !strings.Contains(e.Error(), fmt.Sprintf("process %d", pid)) {
		t.Errorf("who died was process %d: %v", pid, e)
	}
}

func TestWithoutARepairNobodyTakesAnOrphan(t *testing.T) { // T22
	f, b := newBoard(t)
	dead := bequeath(t, f)
	isOwnerDead(t, b.m.LockContext(context.Background()), dead)
	isOwnerDead(t, panicked(b.m.Lock), dead)
	isOwnerDead(t, panicked(func() { b.m.TryLock() }), dead)
	stranger := startPeer(t, f)
	stranger.do("lockctx", "dead", "lock", "panic dead", "try", "panic dead", "unlock", "panic mutex: unlock of unlocked mutex")
	if pid, held := b.m.Owner(); pid != dead || held || !orphaned(&b.m) || b.before == b.after {
		t.Fatalf("the orphan is owned by %d, %v; pair %d, %d; %v", pid, held, b.before, b.after, b)
	}
	stranger.do("repair ok", "ok", "try", "held", "unlock", "free")
	mustHold(t, &b.m)
	b.m.Unlock()
	if b.before != b.after || b.repair != 1 {
		t.Fatalf("%d repairs; pair %d, %d", b.repair, b.before, b.after)
	}
}

func TestEverySleeperLearnsOfTheDeath(t *testing.T) { // T22
	const procs, each = 4, 3
	f, b := newBoard(t)
	var peers []peer
	for range procs {
		peers = append(peers, startPeer(t, f))
	}
	byWakes(t, fmt.Sprintf("the telling of %d goroutines in %d processes", procs*each, procs), func() time.Duration {
		holder := startPeer(t, f)
		holder.do("lock", "held")
		for _, p := range peers {
			for range each {
				p.Send("go lockctx")
			}
			proctest.AwaitSleepers(t, p.Pid, 1)
		}
		holder.Kill()
		w := proctest.Begin() // to die takes the holder its time
		for _, p := range peers {
			for range each {
				p.Expect("dead")
			}
		}
		took := w.Took(now())
		if !orphaned(&b.m) {
			t.Fatalf("somebody took it: %v", b)
		}
		peers[0].do("repair ok", "ok", "lock", "held", "unlock", "free", "repair nil", "ok")
		for _, p := range peers {
			p.do("lock", "held", "unlock", "free")
		}
		return took
	})
}

func TestAFailedRepairLeavesTheOrphan(t *testing.T) {
	f, b := newBoard(t)
	dead := bequeath(t, f)
	b.m.OnOwnerDeath(func(pid int) error { return fmt.Errorf("after %d: %w", pid, errRepair) })
	for _, err := range []any{
		b.m.LockContext(context.Background()),
		panicked(b.m.Lock),
		panicked(func() { b.m.TryLock() }),
	} {
		isOwnerDead(t, err, dead)
		if !errors.Is(err.(error), errRepair) {
			t.Errorf("what the repair returned is lost: %v", err)
		}
		if !orphaned(&b.m) {
			t.Fatalf("no orphan any more: %v", b)
		}
	}
	b.m.OnOwnerDeath(func(int) error { panic("broken tools") })
	for _, lock := range []func(){
		func() { b.m.LockContext(context.Background()) },
		b.m.Lock,
		func() { b.m.TryLock() },
	} {
		if v := panicked(lock); v != "broken tools" {
			t.Errorf("the repair's panic became %v", v)
		}
		if !orphaned(&b.m) {
			t.Fatalf("no orphan any more: %v", b)
		}
	}
	isOwnerDead(t, startPeerError(t, f), dead) // nobody else died
	b.m.OnOwnerDeath(func(pid int) error {
		if pid != dead {
			t.Errorf("repair after process %d, but %d died", pid, dead)
		}
		return nil
	})
	mustHold(t, &b.m)
	b.m.Unlock()
}

// startPeerError is what LockContext returns in a process without a repair.
func startPeerError(t *testing.T, f *os.File) error {
	t.Helper()
	p := proctest.Start(t, "tells its error", proctest.Files(f))
	return &Error{Err: ErrOwnerDead, Repair: errors.New(p.Line())}
}

func init() {
	proctest.Register("tells its error", func(c *proctest.Child) {
		c.Sayf("%v", at[board](c.Memory(0), 0).m.LockContext(context.Background()))
	})
}

func TestSleepersAreServedAfterAFailedRepair(t *testing.T) {
	for _, how := range []string{"error", "panic"} {
		t.Run(how, func(t *testing.T) {
			f, b := newBoard(t)
			bungler, heir := startPeer(t, f), startPeer(t, f)
			bungler.do("repair "+how, "ok")
			heir.do("repair ok", "ok")
			byWakes(t, "recovery after a repair that failed", func() time.Duration {
				holder := startPeer(t, f)
				holder.do("lock", "held", "tear", "ok")
				bungler.asleep(t, "lockctx", 1)
				heir.asleep(t, "lockctx", 1)
				holder.Kill()
				w := proctest.Begin() // to die takes the holder its time
				heir.Expect("held")
				took := w.Took(b.held.Load())
				heir.do("unlock", "free")
				switch line := bungler.Line(); line {
				case map[string]string{"error": "dead", "panic": "panic the repair panics"}[how]:
					return took
				case "held": // it had changed places with the heir in the kernel's queue
					bungler.do("unlock", "free")
				default:
					t.Fatalf("the bungler says %q", line)
				}
				return 0
			})
		})
	}
}

func TestCondemnedIsForAll(t *testing.T) { // T22, P-M7
	byWakes(t, "the telling of all", func() time.Duration { return condemn(t) })
}

// condemn has a mutex condemned while others sleep, and returns how long it took
// until all were told.
func condemn(t *testing.T) time.Duration {
	const procs, each = 3, 2
	f, b := newBoard(t)
	bequeath(t, f)
	judge := startPeer(t, f)
	judge.do("repair ask", "ok")
	judge.Send("lockctx")
	judge.Line() // repairing
	var peers []peer
	for range procs {
		p := startPeer(t, f)
		for range each {
			p.Send("go lockctx")
		}
		proctest.AwaitSleepers(t, p.Pid, 1)
		peers = append(peers, p)
	}
	w := proctest.Begin()
	judge.do("condemn", "condemned")
	for _, p := range peers {
		for range each {
			p.Expect("condemned")
		}
	}
	took := w.Took(now())
	for _, p := range append(peers, judge, startPeer(t, f)) {
		p.do("lockctx", "condemned", "lock", "panic condemned", "try", "panic condemned", "repair ok", "ok", "lockctx", "condemned")
		p.Kill()
	}
	if err := b.m.LockContext(context.Background()); !errors.Is(err, ErrNotRecoverable) {
		t.Errorf("LockContext: %v", err)
	}
	if b.m.owner.Load() != notRecoverable || b.m.word.Load()&robust.TIDMask != 0 {
		t.Errorf("to a C peer it is not condemned: %v", b)
	}
	return took
}

func TestARepairerThatDies(t *testing.T) { // T23
	proctest.NeedsRobustLists(t)
	f, b := newBoard(t)
	dead := bequeath(t, f)
	inside := startPeer(t, f)
	inside.do("repair ask", "ok", "lock", fmt.Sprintf("repairing after %d", dead))
	inside.Kill()
	if !orphaned(&b.m) {
		t.Fatalf("killed inside its repair: %v", b)
	}
	after := startPeer(t, f)
	after.do("repair ask", "ok", "lock", fmt.Sprintf("repairing after %d", inside.Pid), "ok", "held", "tear", "ok")
	after.Kill()
	if !orphaned(&b.m) {
		t.Fatalf("killed after its repair, holding: %v", b)
	}
	free := startPeer(t, f)
	free.do("repair ask", "ok", "lock", fmt.Sprintf("repairing after %d", after.Pid), "ok", "held", "unlock", "free")
	free.Kill()
	mustHold(t, &b.m) // without a repair: it is whole
	b.m.Unlock()
	if b.before != b.after {
		t.Fatalf("pair %d, %d", b.before, b.after)
	}
}

func TestAnOrphanIsHeldByThoseWhoMustAndStaysOne(t *testing.T) { // what Cond.Wait and seqlock do
	f, b := newBoard(t)
	dead := bequeath(t, f)
	isOwnerDead(t, inherit.Lock(context.Background(), &b.m), dead)
	if !inherit.Held(&b.m) || !inherit.Orphan(&b.m) {
		t.Fatalf("not held as an orphan: %v", b)
	}
	waiter := startPeer(t, f)
	waiter.do("repair ok", "ok")
	waiter.asleep(t, "lock", 1)
	start := now()
	b.m.Unlock()
	waiter.Expect("held")
	if d := time.Duration(b.held.Load() - start); proctest.TooLate(d) {
		t.Errorf("the next was told after %v", d)
	}
	waiter.do("unlock", "free")
	if b.repair != 1 {
		t.Errorf("%d repairs: Unlock of an unrepaired orphan made it whole", b.repair)
	}

	dead = bequeath(t, f)
	isOwnerDead(t, inherit.Take(context.Background(), &b.m), dead)
	inherit.Whole(&b.m)
	b.m.Unlock()
	mustHold(t, &b.m)
	b.m.Unlock()
}
