// What holds when very many goroutines of one process wait for one mutex (T84, P-G2):
//   - while all of them wait they cost a few threads, however many they are;
//   - each of them gets the lock, and the counter that it guards is exact.
//
// The crowd is a process of its own: Go never gives back a thread, so other tests'
// would count. Another process holds the mutex: somebody sleeps in the kernel.
package mutex

import (
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"interlock/internal/park"
	"interlock/internal/proctest"
)

func init() {
	// multitude N: N goroutines lock, count, unlock.
	proctest.Register("multitude", func(c *proctest.Child) {
		b := at[board](c.Memory(0), 0)
		n := c.Int(0)
		var all sync.WaitGroup
		var started atomic.Int64
		for range n {
			all.Add(1)
			go func() {
				defer all.Done()
				started.Add(1)
				b.m.Lock()
				b.count++
				b.m.Unlock()
			}()
		}
		c.Until("all to queue", func() bool { return started.Load() == int64(n) && park.Waiters(&b.m.word) == n })
		c.Sayf("%d", proctest.Threads(os.Getpid()))
		all.Wait()
		c.Sayf("%d", proctest.Threads(os.Getpid()))
	})
}

func TestAHundredThousandWaitersCostFewThreads(t *testing.T) { // T84, P-G2
	few := proctest.FewThreads()
	n := proctest.Scaled(100_000, 5_000)
	f, b := newBoard(t)
	b.m.Lock()
	start := time.Now()
	p := proctest.Start(t, "multitude", proctest.Files(f), proctest.Args(strconv.Itoa(n)))
	waiting := p.Line()
	queued := time.Since(start)
	if b.count != 0 {
		t.Fatalf("%d have passed a lock that is held", b.count)
	}
	start = time.Now()
	b.m.Unlock()
	after := p.Line()
	t.Logf("%d waiters: %s threads while all wait, %s afterwards; queued in %v, served in %v",
		n, waiting, after, queued.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	if threads, _ := strconv.Atoi(waiting); threads < 1 || threads > few {
		t.Errorf("%s threads for %d waiters, more than %d", waiting, n, few)
	}
	p.WaitExit(0)
	if b.count != uint64(n) {
		t.Errorf("the counter is %d after %d increments", b.count, n)
	}
	if v := b.m.word.Load(); v != 0 {
		t.Errorf("everybody has left: %v", b)
	}
}
