// What holds for many waiters in several processes:
//   - a Broadcast wakes each process once in the kernel, however many of its
//     goroutines wait, and each of those returns (T43, P-G2);
//   - of n signals in a burst, sent while a process with n waiters stands still, none
//     is lost: all n return as soon as it goes on, not by looks (T42);
//   - those who come after the burst steal none of it (T42, P-C3);
//   - n signals for n waiters spread over several processes bring all of them back
//     (T42, T45), also if one process among them is killed.
package condvar

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"interlock/futex"
	"interlock/internal/park"
	"interlock/internal/proctest"
)

func init() {
	// group: for each line received, a number, so many goroutines wait once each; it
	// says "waiting" when they do, and "back" when all are.
	proctest.Register("group", func(c *proctest.Child) {
		s := at(c.Memory(0))
		s.m.OnOwnerDeath(func(int) error { return nil }) // who is killed may be on its way out, and hold it
		c.Say("here")
		for {
			n, err := strconv.Atoi(c.Recv())
			c.Check(err)
			var back atomic.Int64
			all := make(chan bool)
			for range n {
				go func() {
					s.m.Lock()
					s.c.Wait(&s.m)
					s.m.Unlock()
					s.passed.Add(1)
					if back.Add(1) == int64(n) {
						close(all)
					}
				}()
			}
			c.Until("all to wait", func() bool { return park.Waiters(&s.c.seq) == n })
			c.Until("one to sleep for all", func() bool { return proctest.Sleepers(os.Getpid()) > 0 })
			c.Say("waiting")
			<-all
			c.Say("back")
		}
	})
}

// waiting lets n goroutines of a group wait.
func waiting(t *testing.T, p *proctest.Proc, n int) {
	t.Helper()
	p.Send(strconv.Itoa(n))
	p.Expect("waiting")
	proctest.AwaitSleepers(t, p.Pid, 1)
}

// The wake is made by hand, since the kernel tells only who makes it how many it
// woke. Where a look comes between, a process is up already: then once more.
func TestABroadcastWakesEachProcessOnce(t *testing.T) { // T43, P-G2
	const processes, each, rounds = 4, 1000, 5
	f, s := share(t)
	var groups []*proctest.Proc
	for range processes {
		groups = append(groups, child(t, f, "group", "here"))
	}
	counts := make(map[int]int)
	watch := time.Now()
	for i := 0; i < rounds || counts[processes] < rounds/2 && time.Since(watch) < proctest.Patience; i++ {
		for _, p := range groups {
			waiting(t, p, each)
		}
		start := time.Now()
		s.c.casts.Add(1) // E-C4
		s.c.seq.Add(1)   // E-C2
		n, err := futex.Wake(&s.c.seq, 1<<31-1)
		if err != nil {
			t.Fatal(err)
		}
		counts[n]++
		if n > processes {
			t.Errorf("%d were woken in the kernel, for %d processes", n, processes)
		}
		for _, p := range groups {
			p.Expect("back")
		}
		t.Logf("%d wakes for %d waiters in %d processes; all back after %v",
			n, processes*each, processes, time.Since(start).Round(10*time.Microsecond))
	}
	if counts[processes] < rounds/2 {
		t.Errorf("how many were woken, and how often: %v; each of %d processes should be", counts, processes)
	}
	expectNobody(t, s)
}

func TestABurstOfSignalsInAStoppedProcess(t *testing.T) { // T42
	f, s := share(t)
	p := child(t, f, "group", "here")
	later := child(t, f, "group", "here")
	proctest.Measure(t, func() string { return bursts(t, s, p, later) })
	expectNobody(t, s)
}

func bursts(t *testing.T, s *scene, p, later *proctest.Proc) (complaint string) {
	const n = 50
	rounds := proctest.Scaled(20, 5)
	var took proctest.Times
	for range rounds {
		waiting(t, p, n)
		p.Stop()
		for range n {
			s.c.Signal()
		}
		waiting(t, later, n) // none of those was for them
		w := proctest.Begin()
		p.Cont()
		p.Expect("back")
		took = append(took, w.Took(proctest.Now()))
		s.c.Broadcast()
		later.Expect("back")
	}
	t.Logf("SIGCONT to all %d back: %v (a look would come after %v)", n, took, park.LookEvery)
	if proctest.TooLate(took.At(1)) {
		t.Errorf("a burst took %v", took.At(1))
	}
	if took.At(0.5) > park.LookEvery/2 {
		return fmt.Sprintf("half of the bursts took more than %v: the look found them, nothing else", took.At(0.5))
	}
	return ""
}

func TestAsManySignalsAsWaitersBringAllBack(t *testing.T) { // T42, T45
	proctest.Measure(t, func() string { return asManySignals(t) })
}

func asManySignals(t *testing.T) (complaint string) {
	const processes, each = 4, 25
	rounds := proctest.Scaled(10, 3)
	f, s := share(t)
	var groups []*proctest.Proc
	for range processes {
		groups = append(groups, child(t, f, "group", "here"))
	}
	var took proctest.Times
	for round := range rounds {
		s.passed.Store(0)
		for _, p := range groups {
			waiting(t, p, each)
		}
		victim := groups[round%processes]
		kill := round%2 == 1
		if kill { // with its part of the signals used up or on their way
			for range each {
				s.c.Signal()
			}
			victim.Kill()
			groups[round%processes] = child(t, f, "group", "here")
		}
		w := proctest.Begin()
		for range processes * each {
			s.c.Signal()
		}
		for _, p := range groups {
			if p.Pid != groups[round%processes].Pid || !kill {
				p.Expect("back")
			}
		}
		took = append(took, w.Took(proctest.Now()))
		if n := s.passed.Load(); !kill && n != processes*each {
			t.Errorf("%d of %d came back", n, processes*each)
		}
	}
	t.Logf("%d signals to all %d back: %v (promised: %v)", processes*each, processes*each, took, proctest.Promise)
	for _, p := range groups {
		p.Kill()
	}
	if proctest.TooLate(took.At(1)) {
		t.Errorf("one took %v", took.At(1))
	}
	if took.At(0.5) > park.LookEvery/2 {
		return fmt.Sprintf("it took %v: half of it by looks, perhaps", took)
	}
	return ""
}
