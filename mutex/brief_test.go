// What holds for deaths that the kernel did not mark though it could have (P-K18), where
// looks come too late, or not at all:
//   - of waits that overlap none sees two of them;
//   - with many words looks are rare;
//   - between brief waits the ticker ends.
package mutex

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/park"
	"interlock/internal/proctest"
)

// deadUnmarked is a mutex whose owner has died linked, and the kernel's walk has stopped
// before it.
func deadUnmarked(t *testing.T) *board {
	t.Helper()
	f, b := newBoard(t)
	other, _ := newBoard(t)
	third, _ := newBoard(t)
	b.m.OnOwnerDeath(func(int) error { return nil })
	p := proctest.Start(t, "forgets to detach", proctest.Files(f, other, third), proctest.Args("nothing there"))
	p.WaitKilled(unix.SIGKILL)
	if orphaned(&b.m) {
		t.Skip("the kernel marked it")
	}
	return b
}

// One look finds it as it was before; the next asks for the owner. They need not be
// looks of one wait: of waits that overlap, each is the oldest for less than a period.
func TestAnUnmarkedDeathIsFoundByOverlappingWaits(t *testing.T) {
	b := deadUnmarked(t)
	start := now()
	var found atomic.Int64
	var waits sync.WaitGroup
	for i := 0; i < 20 && found.Load() == 0; i++ {
		waits.Add(1)
		go func() {
			defer waits.Done()
			ctx, cancel := context.WithTimeout(context.Background(), park.LookEvery*11/4)
			defer cancel()
			if b.m.LockContext(ctx) == nil {
				found.CompareAndSwap(0, int64(since(start)))
				b.m.Unlock()
			}
		}()
		time.Sleep(park.LookEvery * 3 / 4)
	}
	waits.Wait()
	t.Logf("acquired in %v", time.Duration(found.Load()))
	if found.Load() == 0 {
		t.Error("not found")
	}
}

// Where so many words are waited for that the ticker is slower, it does not look twice.
func TestAnUnmarkedDeathIsFoundAmongManyWords(t *testing.T) {
	var words [300]atomic.Uint32
	for i := range words {
		w := park.EnterLock(&words[i], func() park.Finding { return park.Quiet })
		defer w.Leave()
	}
	fewest := uint32(99)
	for tries := 0; tries < 10 && fewest > 1; tries++ {
		b := deadUnmarked(t)
		round := park.Rounds()
		proctest.Until(t, "a round is over", func() bool { return park.Rounds() != round && park.Seldom() })
		round, start := park.Rounds(), now()
		mustHold(t, &b.m)
		fewest = min(fewest, park.Rounds()-round)
		t.Logf("acquired in %v, by look %d", since(start), park.Rounds()-round)
		b.m.Unlock()
	}
	if fewest > 1 {
		t.Errorf("it took %d looks", fewest)
	}
}

// Nor need it be waits that a look comes into: between them the ticker ends.
func TestAnUnmarkedDeathIsFoundByWaitsThatNoLookComesInto(t *testing.T) {
	for _, marks := range []string{"stopped before it", "refused"} {
		t.Run(marks, func(t *testing.T) {
			f, b := newBoard(t)
			if marks == "refused" {
				b.m.OnOwnerDeath(func(int) error { return nil })
				p := unmarkable(t, f)
				p.do("lock", "held")
				p.Kill()
			} else {
				b = deadUnmarked(t)
			}
			for tries := 1; ; tries++ {
				ctx, cancel := context.WithTimeout(context.Background(), park.LookEvery/8)
				err := b.m.LockContext(ctx)
				cancel()
				if err == nil {
					t.Logf("acquired at try %d", tries)
					break
				}
				if tries == 5 {
					t.Fatalf("not found by %d waits: %v", tries, err)
				}
				time.Sleep(3 * park.LookEvery) // nobody waits
			}
			b.m.Unlock()
		})
	}
}
