// What holds for the order in which the waiters of one process are served (T87):
//   - it is that of their arrival, whoever unlocks;
//   - it stays so when the oldest, the youngest or one between them gives up;
//   - it stays so when another process barges in at each chance.
//
// Each waiter is seen in the queue before the next one starts.
package mutex

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"

	"interlock/internal/park"
	"interlock/internal/proctest"
)

// A line is goroutines that queued up one after the other.
type line struct {
	served  []int // guarded by the mutex
	ends    []chan error
	cancels []context.CancelFunc
}

// lineUp queues n goroutines up for a mutex that is held. Each notes its number
// when it is inside, and leaves by unlock.
func lineUp(t *testing.T, m *Mutex, n int, unlock func()) *line {
	t.Helper()
	l := &line{}
	for i := range n {
		ctx, cancel := context.WithCancel(context.Background())
		end := make(chan error, 1)
		l.ends, l.cancels = append(l.ends, end), append(l.cancels, cancel)
		go func() {
			err := m.LockContext(ctx)
			if err == nil {
				l.served = append(l.served, i)
				unlock()
			}
			end <- err
		}()
		for park.Waiters(&m.word) != i+1 {
			runtime.Gosched()
		}
	}
	return l
}

// gone makes these of the line give up.
func (l *line) gone(t *testing.T, who ...int) {
	t.Helper()
	for _, i := range who {
		l.cancels[i]()
		if err := <-l.ends[i]; !errors.Is(err, context.Canceled) {
			t.Fatalf("number %d: %v", i, err)
		}
	}
}

// inOrder waits until all but those who are gone were served, and checks the order.
func (l *line) inOrder(t *testing.T, gone ...int) {
	t.Helper()
	for i, end := range l.ends {
		if slices.Contains(gone, i) {
			continue
		}
		if err := <-end; err != nil {
			t.Fatalf("number %d: %v", i, err)
		}
		l.cancels[i]()
	}
	if !slices.IsSorted(l.served) || len(l.served) != len(l.ends)-len(gone) {
		t.Fatalf("without %v, served in the order %v", gone, l.served)
	}
}

func TestWaitersAreServedInOrderOfArrival(t *testing.T) { // T87
	const n = 12
	_, b := newBoard(t)
	unlocks := map[string]func(){
		"by who was served": b.m.Unlock,
		"by a goroutine of its own each": func() {
			done := make(chan bool)
			go func() { b.m.Unlock(); done <- true }()
			<-done
		},
		"by one that looks first": func() { b.m.TryLock(); b.m.Unlock() },
	}
	for how, unlock := range unlocks {
		for _, gone := range [][]int{nil, {n / 2}, {0}, {n - 1}, {0, 1, 5, 6, n - 1}, {6, 5, 1, 0}} {
			t.Run(fmt.Sprintf("unlocked %s, without %v", how, gone), func(t *testing.T) {
				for range proctest.Scaled(20, 5) {
					b.m.Lock()
					l := lineUp(t, &b.m, n, unlock)
					l.gone(t, gone...)
					unlock()
					l.inOrder(t, gone...)
				}
			})
		}
	}
	if v := b.m.word.Load(); v != 0 {
		t.Errorf("everybody has left: %v", b)
	}
}

// The barger takes the lock whenever it is free, so the line moves only between.
func TestABargingProcessChangesNoOrder(t *testing.T) { // T87
	f, b := newBoard(t)
	p := proctest.Start(t, "barger", proctest.Files(f))
	p.Expect("barging")
	before := uint64(0)
	for i := 0; i < proctest.Scaled(100, 20) || before == 0; i++ { // until the other one got in, too
		mustHold(t, &b.m)
		before = max(before, b.count)
		l := lineUp(t, &b.m, 12, b.m.Unlock)
		l.gone(t, 0, 7)
		b.m.Unlock()
		l.inOrder(t, 0, 7)
	}
	p.Send("enough")
	p.Expect("over")
	p.WaitExit(0)
	t.Logf("the other process got in %d times", b.count)
}

func init() {
	// barger: in a loop, locks as soon as it can and without queueing.
	proctest.Register("barger", func(c *proctest.Child) {
		b := at[board](c.Memory(0), 0)
		over := make(chan bool)
		go func() { c.Recv(); close(over) }()
		c.Say("barging")
		for {
			select {
			case <-over:
				c.Say("over")
				os.Exit(0)
			default:
			}
			if b.m.TryLock() {
				b.count++
				b.m.Unlock()
			} else {
				runtime.Gosched()
			}
		}
	})
}
