// What holds for a Semaphore between processes that are alive:
//   - however the churn, a late waiter is served (T38), and everybody once (T39);
//   - one release wakes one process, not all (T41);
//   - overflow is refused in the same atomic that adds (T36, P-S3).
package semaphore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/spin"
)

const (
	overflows = 5000
	noMore    = -1 // instead of a round's number
)

func init() {
	// takers N: N goroutines take one permit each.
	proctest.Register("takers", func(c *proctest.Child) {
		s := sem(c.Memory(0))
		for i := range c.Int(0) {
			go func() {
				c.Check(s.Acquire(context.Background()))
				c.Sayf("got %d", i)
			}()
		}
		c.Recv()
	})
	// churner: gives and takes as fast as it can; there is always one to take.
	proctest.Register("churner", func(c *proctest.Child) {
		mem := c.Memory(0)
		s, turns, stop := sem(mem), count(mem, offTurns), count(mem, offStop)
		c.Say("here")
		for stop.Load() == 0 {
			c.Check(s.Release())
			c.Check(s.Acquire(context.Background()))
			turns.Add(1)
		}
	})
	// overflower: in each round, as soon as it is open, one release.
	proctest.Register("overflower", func(c *proctest.Child) {
		mem := c.Memory(0)
		s, round, ok, done := sem(mem), count(mem, offTurns), count(mem, offInside), count(mem, offStop)
		c.Say("here")
		for i := int64(1); ; i++ {
			for r := round.Load(); r < i; r = round.Load() {
				if r == noMore {
					return
				}
			}
			if s.Release() == nil {
				ok.Add(1)
			}
			done.Add(1)
		}
	})
}

func TestALateWaiterIsServedWithinAllChurn(t *testing.T) { // T38
	_, mem, s, churners := shared(t, 0, "churner", 2)
	var worst time.Duration
	for turns := int64(0); turns < 200_000; turns = count(mem, offTurns).Load() {
		start := time.Now()
		take(t, s) // a churner has to wait now
		worst = max(worst, time.Since(start))
		give(t, s)
	}
	count(mem, offStop).Store(1)
	for _, p := range churners {
		p.WaitExit(0)
	}
	t.Logf("%d turns, the late waiter waited %v at most", count(mem, offTurns).Load(), worst)
	if worst > 10*time.Second || s.data.Load() != 0 {
		t.Errorf("waited %v; data is %#x at the end", worst, s.data.Load())
	}
}

func TestOnePermitAtATimeServesEverybodyOnce(t *testing.T) { // T39
	const processes, each = 4, 8
	f, mem := proctest.Memfd(t, 4096)
	s := sem(mem)
	watch(t, s)
	lines := make(chan string)
	for range processes {
		p := proctest.Start(t, "takers", proctest.Files(f), proctest.Args(strconv.Itoa(each)))
		go func() {
			for range each {
				lines <- strconv.Itoa(p.Pid) + " " + p.Line()
			}
		}()
	}
	proctest.Until(t, "a sleeper in each", func() bool { return s.waiters() == processes })
	served := map[string]bool{}
	var worst time.Duration
	for range processes * each {
		start := time.Now()
		give(t, s)
		line := <-lines
		worst = max(worst, time.Since(start))
		if served[line] {
			t.Errorf("%q twice", line)
		}
		served[line] = true
	}
	t.Logf("slowest of %d: %v", processes*each, worst)
	if proctest.TooLate(worst) || s.data.Load() != 0 {
		t.Errorf("slowest %v; data is %#x at the end", worst, s.data.Load())
	}
}

func TestOverflowHoldsBetweenProcesses(t *testing.T) { // T36, P-S3
	const n = 1 // and this process: where both have a CPU, they collide
	_, mem, s, children := shared(t, MaxValue, "overflower", n)
	rounds := int64(0)
	for start := time.Now(); rounds < overflows && time.Since(start) < 3*time.Second; {
		rounds++ // few where the two share a CPU, and each waits for its turn
		i := rounds
		s.data.Store(MaxValue - 1)
		count(mem, offInside).Store(0)
		count(mem, offStop).Store(0)
		count(mem, offTurns).Store(i)
		spin.Pause(rand.Uint32N(8)) // the child learns of the round a little later
		mine := s.Release()
		for count(mem, offStop).Load() < n {
		}
		succeeded := count(mem, offInside).Load()
		if mine == nil {
			succeeded++
		}
		if succeeded != 1 || s.data.Load() != MaxValue {
			t.Fatalf("round %d: %d releases succeeded, data is %#x", i, succeeded, s.data.Load())
		}
	}
	t.Logf("%d rounds", rounds)
	count(mem, offTurns).Store(noMore)
	for _, p := range children {
		p.WaitExit(0)
	}
}

func switches(pid int) map[string]int {
	found := map[string]int{}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, task := range tasks {
		call, _ := os.ReadFile(task + "/syscall")
		if !strings.HasPrefix(string(call), strconv.Itoa(unix.SYS_FUTEX_WAITV)+" ") {
			continue
		}
		status, _ := os.ReadFile(task + "/status")
		_, rest, _ := strings.Cut(string(status), "\nvoluntary_ctxt_switches:")
		line, _, _ := strings.Cut(rest, "\n")
		n, _ := strconv.Atoi(strings.TrimSpace(line))
		found[task] = n
	}
	return found
}

func TestOneReleaseWakesOneProcess(t *testing.T) { // T41
	proctest.SkipEmulated(t, "a thread is asleep in its call, not in ours")
	const processes, rounds = 6, 40
	_, mem, s, takers := shared(t, 0, "taker", processes)
	for _, p := range takers {
		sleeping(t, p)
	}
	slot := func(i int) int64 { return count(mem, offSlots+8*i).Load() }
	var had [processes]int64
	needless := 0
	for range rounds {
		proctest.Until(t, "all to sleep", func() bool { return s.waiters() == processes })
		before := make([]map[string]int, processes)
		for i, p := range takers {
			proctest.Until(t, "a sleeper", func() bool { before[i] = switches(p.Pid); return len(before[i]) == 1 })
		}
		give(t, s)
		who := -1
		proctest.Until(t, "one to have it", func() bool {
			for i := range takers {
				if slot(i) != had[i] {
					who = i
				}
			}
			return who >= 0
		})
		had[who]++
		takers[who].Expect("got")
		for i, p := range takers {
			if after := switches(p.Pid); i != who && fmt.Sprint(after) != fmt.Sprint(before[i]) {
				needless++
			}
		}
		takers[who].Send("take")
	}
	t.Logf("%d needless wakes for %d permits and %d sleepers; served: %v", needless, rounds, processes, had)
	if needless > rounds {
		t.Errorf("%d needless wakes for %d permits", needless, rounds)
	}
}
