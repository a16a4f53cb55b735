// What holds when very many goroutines of one process wait for permits (T84, P-G2):
//   - while all of them wait they cost a few threads, however many they are;
//   - as many permits as there are waiters serve each of them, and none is left.
//
// The crowd is a process of its own: Go never gives back a thread, so other tests'
// would count.
package semaphore

import (
	"context"
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
	// multitude N: N goroutines take a permit each.
	proctest.Register("multitude", func(c *proctest.Child) {
		s := sem(c.Memory(0))
		n := c.Int(0)
		var all sync.WaitGroup
		var started atomic.Int64
		var taken atomic.Int64
		for range n {
			all.Add(1)
			go func() {
				defer all.Done()
				started.Add(1)
				if err := s.Acquire(context.Background()); err != nil {
					c.Fatalf("Acquire: %v", err)
				}
				taken.Add(1)
			}()
		}
		c.Until("all to queue", func() bool { return started.Load() == int64(n) && park.Waiters(s.futex()) == n })
		c.Sayf("%d", proctest.Threads(os.Getpid()))
		all.Wait()
		c.Sayf("%d", taken.Load())
	})
}

func TestAHundredThousandWaitersCostFewThreads(t *testing.T) { // T84, P-G2
	few := proctest.FewThreads()
	n := proctest.Scaled(100_000, 5_000)
	f, mem := proctest.Memfd(t, os.Getpagesize())
	s := sem(mem)
	watch(t, s)
	p := proctest.Start(t, "multitude", proctest.Files(f), proctest.Args(strconv.Itoa(n)))
	waiting := p.Line()
	start := time.Now()
	for range n {
		give(t, s)
	}
	given := time.Since(start)
	p.Expect(strconv.Itoa(n))
	t.Logf("%d waiters: %s threads; permits given in %v, all taken after %v",
		n, waiting, given.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
	if threads, _ := strconv.Atoi(waiting); threads < 1 || threads > few {
		t.Errorf("%s threads for %d waiters, more than %d", waiting, n, few)
	}
	p.WaitExit(0)
	if s.data.Load() != 0 {
		t.Errorf("data is %#x with nobody left", s.data.Load())
	}
}
