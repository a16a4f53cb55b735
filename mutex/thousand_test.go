// What holds for a mutex that a crowd of processes want, up to a thousand, while one of
// them is killed every 10 ms (T85):
//   - what it guards is exact to the last operation of the last process that died;
//   - every process that lives long enough has its turn.
//
// What one that waits costs is printed: each looks at the word 25 times a second, and
// in a crowd less often.
package mutex

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/park"
	"interlock/internal/proctest"
)

const (
	aThousand = 1000
	killEvery = 10 * time.Millisecond
	tooLong   = 20 * time.Second // for a process of a thousand to wait for its turn
)

// A thousand is what they share.
type thousand struct {
	b     board
	turns [aThousand]struct {
		n     uint64 // under the lock
		since int64  // when the process in this place began, by proctest.Now
		last  int64  // when it had its last turn
		worst int64  // the longest that it had to wait for one
	}
}

func init() {
	proctest.Register("one of a thousand", func(c *proctest.Child) {
		a := at[thousand](c.Memory(0), 0)
		b, mine := &a.b, &a.turns[c.Int(0)]
		b.m.OnOwnerDeath(func(int) error {
			b.after = b.before
			b.repair++
			return nil
		})
		ctx, stop := context.WithCancel(context.Background())
		go func() {
			c.Recv()
			stop()
		}()
		mine.worst, mine.last = 0, 0
		mine.since = proctest.Now()
		for came := mine.since; b.m.LockContext(ctx) == nil; came = proctest.Now() {
			b.before++
			mine.n++
			mine.last = proctest.Now()
			mine.worst = max(mine.worst, mine.last-came)
			b.after++
			b.m.Unlock()
		}
	})
}

func TestAThousandProcessesAndKills(t *testing.T) { // T85
	proctest.Excuse("one of a thousand")
	proctest.SkipEmulated(t, "a crowd takes minutes")
	d := proctest.Lasts(t, 2*time.Second, time.Minute)
	n := proctest.Scaled(40, 10)
	if proctest.Long() {
		n = aThousand
	}
	f, mem := proctest.Memfd(t, int(sizeOf[thousand]()))
	a := at[thousand](mem, 0)
	proctest.Watchdog(t, d+4*time.Minute, a.b.String)
	start := func(i int) *proctest.Proc {
		a.turns[i].since = 0
		// None of them may be nicer than who waits for them: Linux 6.18 spins, as it removes
		// a process from /proc, until the threads that are just leaving it get a CPU.
		return proctest.Start(t, "one of a thousand", proctest.Files(f), proctest.Args(itoa(i)))
	}
	began := time.Now()
	crowd := make([]*proctest.Proc, n)
	for i := range crowd {
		crowd[i] = start(i)
	}
	proctest.Until(t, "the first turn of everybody", func() bool {
		for i := range crowd {
			if a.turns[i].last == 0 {
				return false
			}
		}
		return true
	})
	t.Logf("%d processes: everybody has had a turn %v after the first was started", n, time.Since(began))
	kills, starved := uint64(0), 0
	var dying []*proctest.Proc
	next := time.Now()
	for end := next.Add(d); time.Now().Before(end); kills++ {
		next = next.Add(killEvery)
		time.Sleep(time.Until(next)) // the rate is what is asked for
		i := rand.IntN(n)
		starved += a.starved(i)
		crowd[i].Signal(unix.SIGKILL)
		dying = append(dying, crowd[i])
		if len(dying) > 50 { // it takes them a while: among so many they seldom get a CPU to die
			dying[0].Bury()
			dying = dying[1:]
		}
		crowd[i] = start(i)
	}
	for i := range crowd {
		starved += a.starved(i)
	}
	if starved > 0 {
		t.Errorf("%d processes waited for %v and longer, and had no turn", starved, tooLong)
	}
	for _, p := range dying {
		p.Bury()
	}
	for _, p := range crowd {
		p.Send("stop")
	}
	for _, p := range crowd {
		p.WaitExit(0)
	}
	exact(t, a, n, kills)
}

// starved is 1 if the process in place i has lived for too long without a turn.
func (a *thousand) starved(i int) int {
	one := &a.turns[i]
	if one.since == 0 || proctest.Now()-max(one.since, one.last) < int64(tooLong) {
		return 0
	}
	return 1
}

// exact does the accounts: each process that was killed may have died between its two
// notes.
func exact(t *testing.T, a *thousand, n int, kills uint64) {
	t.Helper()
	sum, worst := uint64(0), int64(0)
	for i := range a.turns[:n] {
		sum += a.turns[i].n
		worst = max(worst, a.turns[i].worst)
	}
	t.Logf("%d operations, %d kills, %d repairs; the longest that anybody who lives to the end had to wait: %v",
		a.b.before, kills, a.b.repair, time.Duration(worst))
	if a.b.before != a.b.after || a.b.before < sum || a.b.before-sum > kills {
		t.Errorf("before %d, after %d, the sum of all %d", a.b.before, a.b.after, sum)
	}
}

func TestWhatAWaitingProcessCosts(t *testing.T) {
	proctest.SkipEmulated(t, "it is the emulator that takes the time")
	few, crowd := waitingCosts(t, 10), waitingCosts(t, 80)
	if few > 0.1 {
		t.Error("that is ten times too much")
	}
	// Eighty look a fifth as often as ten.
	if crowd > few/2 {
		t.Errorf("in a crowd %.2f %%, else %.2f %%", 100*crowd, 100*few)
	}
}

// waitingCosts is what share of a CPU each of n processes takes that wait for a mutex.
func waitingCosts(t *testing.T, n int) float64 {
	f, b := newBoard(t)
	mustHold(t, &b.m)
	defer b.m.Unlock()
	var crowd []peer
	for range n {
		p := startPeer(t, f)
		p.asleep(t, "lock", 1)
		crowd = append(crowd, p)
	}
	used := func() (sum time.Duration) {
		for _, p := range crowd {
			sum += cpuOf(t, p.Pid)
		}
		return sum
	}
	time.Sleep(5 * park.LookEvery) // until all have seen the crowd
	start, before := time.Now(), used()
	time.Sleep(time.Second)
	each := float64(used()-before) / float64(n) / float64(time.Since(start))
	t.Logf("each of %d processes that wait: %.2f %% of a CPU", n, 100*each)
	for _, p := range crowd {
		p.Kill()
	}
	return each
}

// cpuOf is the time that a process has had a CPU so far.
func cpuOf(t *testing.T, pid int) (sum time.Duration) {
	t.Helper()
	files, _ := filepath.Glob("/proc/" + itoa(pid) + "/task/*/schedstat")
	for _, file := range files {
		line, _ := os.ReadFile(file)
		ns, _, _ := strings.Cut(string(line), " ")
		one, err := time.ParseDuration(ns + "ns")
		if err != nil {
			t.Skipf("cannot see it: %q, %v", line, err)
		}
		sum += one
	}
	return sum
}
