// What holds for deaths that the kernel does not mark:
//   - of the locks that one process held, it marks 2,048; all are recovered (T25, P-K1);
//   - where set_robust_list is refused it marks none; a waiter's look finds the
//     death, of a killed owner, of a zombie, and after execve (T88, P-K13);
//   - TryLock finds it too: it waits for nobody, and so nobody looks for it;
//   - a walk that stops at a page which is gone unprotects nothing (P-K18);
//   - a live owner without a robust list is left alone;
//   - where futex_waitv is refused, cancellation still works (T88, P-K13).
package mutex

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/robust"
)

const mutexSize = 40

func init() {
	proctest.Register("table", func(c *proctest.Child) {
		table := mutexes(c.Memory(0), c.Int(0)) // one mapping: Memory may not be asked for often
		for i := range table {
			table[i].Lock()
		}
		c.Say("locked")
		c.Recv()
	})
}

func TestAllLocksOfATableAreRecovered(t *testing.T) { // T25, P-K1
	proctest.NeedsRobustLists(t)
	for _, n := range []int{1, 10, robust.ListLimit - 1, robust.ListLimit, robust.ListLimit + 1, 5000} {
		t.Run(itoa(n), func(t *testing.T) {
			f, mem := proctest.Memfd(t, n*mutexSize)
			table := mutexes(mem, n)
			proctest.Watchdog(t, time.Minute, nil)
			p := proctest.Start(t, "table", proctest.Files(f), proctest.Args(itoa(n)))
			p.Expect("locked")
			killed := now()
			p.Kill()
			marked := 0
			for i := range table {
				if orphaned(&table[i]) {
					marked++
				}
			}
			if want := min(n, robust.ListLimit); marked != want {
				t.Errorf("the kernel marked %d of %d", marked, n)
			}
			var repaired atomic.Int64
			OnOwnerDeath(mem, func(*Mutex, int) error { repaired.Add(1); return nil })
			var took atomic.Int64
			inBatches(n, 100, func(i int) {
				start := now()
				if err := table[i].LockContext(within(t, proctest.Patience)); err != nil {
					t.Errorf("mutex %d: %v; %v", i, err, describe(&table[i]))
					return
				}
				d := int64(since(start))
				for old := took.Load(); d > old && !took.CompareAndSwap(old, d); old = took.Load() {
				}
				table[i].Unlock()
			})
			t.Logf("%d locks, %d marked: all recovered %v after the kill; the longest wait %v",
				n, marked, since(killed), time.Duration(took.Load()))
			if repaired.Load() != int64(n) {
				t.Errorf("%d repairs", repaired.Load())
			}
			if d := time.Duration(took.Load()); proctest.TooLate(d) {
				t.Errorf("one had to wait %v", d)
			}
		})
	}
}

// inBatches runs f for 0…n-1, so many at once.
func inBatches(n, size int, f func(i int)) {
	for lo := 0; lo < n; lo += size {
		var wg sync.WaitGroup
		for i := lo; i < min(lo+size, n); i++ {
			wg.Add(1)
			go func() {
				defer wg.Done()
				f(i)
			}()
		}
		wg.Wait()
	}
}

// unmarkable is a peer whose death the kernel will not mark.
func unmarkable(t *testing.T, f *os.File, opts ...proctest.Option) peer {
	t.Helper()
	p := startPeer(t, f, opts...)
	p.do("refuse robust", "ok")
	return p
}

func TestAnUnmarkedDeathIsFoundByTheLook(t *testing.T) { // T88, T29
	for _, how := range []string{"kill", "zombie", "exec", "kill before the wait"} {
		t.Run(how, func(t *testing.T) {
			f, b := newBoard(t)
			var opts []proctest.Option
			if how == "zombie" {
				opts = append(opts, proctest.Zombie())
			}
			holder, waiter := unmarkable(t, f, opts...), startPeer(t, f)
			waiter.do("repair ok", "ok")
			holder.do("lock", "held", "tear", "ok")
			killed := now()
			switch how {
			case "kill before the wait":
				holder.Kill()
				waiter.Send("lock")
			case "exec":
				waiter.asleep(t, "lock", 1)
				killed = now()
				holder.Send("die exec")
			default:
				waiter.asleep(t, "lock", 1)
				killed = now()
				holder.Kill()
			}
			waiter.Expect("held")
			d := time.Duration(b.held.Load() - killed)
			t.Logf("death to acquired: %v", d)
			if proctest.TooLate(d) {
				t.Errorf("it took %v", d)
			}
			if b.repair != 1 || b.before != b.after {
				t.Errorf("%d repairs; pair %d, %d", b.repair, b.before, b.after)
			}
			waiter.do("unlock", "free")
			if how == "exec" {
				holder.Kill()
			}
		})
	}
}

func TestAnUnmarkedDeathIsToldToThoseWithoutARepair(t *testing.T) {
	f, b := newBoard(t)
	holder := unmarkable(t, f)
	holder.do("lock", "held")
	holder.Kill()
	isOwnerDead(t, lockInTime(t, &b.m), holder.Pid)
}

func TestTryLockFindsAnUnmarkedDeath(t *testing.T) {
	f, b := newBoard(t)
	holder := unmarkable(t, f)
	b.m.OnOwnerDeath(func(int) error { return nil })
	holder.do("lock", "held")
	if b.m.TryLock() {
		t.Fatal("TryLock took what another process holds")
	}
	holder.Kill()
	for start := time.Now(); !b.m.TryLock(); {
		if proctest.TooLate(time.Since(start)) {
			t.Fatalf("TryLock has failed for %v on a mutex whose owner is dead: %v", time.Since(start), b)
		}
	}
	b.m.Unlock()
}

func TestALiveOwnerWithoutARobustListKeepsItsLock(t *testing.T) {
	f, b := newBoard(t)
	holder := unmarkable(t, f)
	for range 5 {
		holder.do("lock", "held")
		mustWait(t, &b.m, 150*time.Millisecond) // several looks
		if b.m.TryLock() {
			t.Fatal("TryLock took what another process holds")
		}
		holder.do("unlock", "free")
		mustHold(t, &b.m)
		b.m.Unlock()
	}
}

func init() {
	proctest.Register("neighbour of a hole", func(c *proctest.Child) {
		first := at[board](c.Memory(0), 0)
		hole := at[board](c.Memory(1), 0)
		first.m.Lock() // linked first, so the kernel's walk comes to it last
		hole.m.Lock()
		c.Check(unix.Ftruncate(int(c.File(1).Fd()), 0))
		first.died.Store(now())
		c.Check(unix.Kill(os.Getpid(), unix.SIGKILL))
		select {}
	})
}

func TestATruncatedNeighbourUnprotectsNothing(t *testing.T) { // P-K18
	f, b := newBoard(t)
	fd, err := unix.MemfdCreate("hole", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	hole := os.NewFile(uintptr(fd), "hole")
	defer hole.Close()
	if err := hole.Truncate(int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	b.m.OnOwnerDeath(func(int) error { return nil })
	proctest.Start(t, "neighbour of a hole", proctest.Files(f, hole)).WaitKilled(unix.SIGKILL)
	t.Logf("the kernel marked it: %v", orphaned(&b.m))
	mustHold(t, &b.m)
	t.Logf("death to acquired: %v", since(b.died.Load()))
	b.m.Unlock()
}

func TestCancellationWithoutWaitv(t *testing.T) { // T88, P-K13
	f, b := newBoard(t)
	b.m.Lock()
	p := startPeer(t, f)
	p.do("refuse waitv", "ok")
	var took []time.Duration
	for range 10 {
		start := now()
		p.do("lockctx 20ms", "deadline")
		took = append(took, since(start)-20*time.Millisecond)
	}
	t.Logf("after the deadline: median %v, worst %v", median(took), worst(took))
	if d := median(took); proctest.TooLate(d) {
		t.Errorf("cancelled %v late", d)
	}
	p.asleep(t, "lockctx 1h", 1)
	freed := now()
	b.m.Unlock()
	recovered(t, b, p, freed)
	p.do("unlock", "free")
}

func TestWithoutEitherCallItIsStillALock(t *testing.T) {
	f, b := newBoard(t)
	holder, waiter := unmarkable(t, f), unmarkable(t, f)
	waiter.do("refuse waitv", "ok", "repair ok", "ok")
	holder.do("lock", "held", "tear", "ok")
	waiter.do("lockctx 100ms", "deadline")
	waiter.asleep(t, "lockctx 1h", 1)
	killed := now()
	holder.Kill()
	recovered(t, b, waiter, killed)
	waiter.do("unlock", "free")
	if err := b.m.LockContext(context.Background()); errors.Is(err, ErrOwnerDead) {
		t.Errorf("it was repaired: %v", err)
	}
	b.m.Unlock()
}
