// What holds when very many goroutines of one process wait for one Cond (T84, P-G2):
//   - while all of them wait they cost a few threads, however many they are;
//   - one Broadcast, or as many Signals, brings each of them back with the mutex;
//   - afterwards nobody is counted any more.
//
// The crowd is a process of its own: Go never gives back a thread, so other tests'
// would count.
package condvar

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
	// multitude N: N goroutines wait once each, and count who is back.
	proctest.Register("multitude", func(c *proctest.Child) {
		s := at(c.Memory(0))
		n := c.Int(0)
		var all sync.WaitGroup
		var started atomic.Int64
		back := 0
		for range n {
			all.Add(1)
			go func() {
				defer all.Done()
				started.Add(1)
				s.m.Lock()
				s.c.Wait(&s.m)
				back++ // the mutex guards it
				s.m.Unlock()
			}()
		}
		c.Until("all to wait", func() bool { return started.Load() == int64(n) && park.Waiters(&s.c.seq) == n })
		c.Sayf("%d", proctest.Threads(os.Getpid()))
		all.Wait()
		c.Sayf("%d", back)
	})
}

func TestAHundredThousandWaitersCostFewThreads(t *testing.T) { // T84, T43, P-G2
	few := proctest.FewThreads()
	for _, how := range []string{"Broadcast", "Signal"} {
		t.Run(how, func(t *testing.T) {
			n := proctest.Scaled(100_000, 5_000)
			f, s := share(t)
			p := proctest.Start(t, "multitude", proctest.Files(f), proctest.Args(strconv.Itoa(n)))
			waiting := p.Line()
			start := time.Now()
			if how == "Broadcast" {
				s.c.Broadcast()
			} else {
				for range n {
					s.c.Signal()
				}
			}
			sent := time.Since(start)
			p.Expect(strconv.Itoa(n))
			t.Logf("%d waiters: %s threads; sent in %v, all back after %v",
				n, waiting, sent.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
			if threads, _ := strconv.Atoi(waiting); threads < 1 || threads > few {
				t.Errorf("%s threads for %d waiters, more than %d", waiting, n, few)
			}
			p.WaitExit(0)
			expectNobody(t, s)
		})
	}
}
