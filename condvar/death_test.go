// What holds for a Cond when processes die:
//   - a waiter killed asleep, woken, or locking again blocks no signal, and every
//     new waiter is served (T45, P-C2);
//   - what a killed signaller had begun reaches the waiters by the look (T46);
//   - processes that see mutex and Cond at different addresses understand each other
//     (T43, T50).
package condvar

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/futex"
	"interlock/internal/proctest"
)

func init() {
	// holder: locks, until told to unlock.
	proctest.Register("holder", func(c *proctest.Child) {
		s := at(c.Memory(0))
		s.m.Lock()
		c.Say("holds")
		if c.Recv() == "signal" { // holding it; for who kills us then
			s.c.Signal()
			c.Say("signalled")
			c.Recv()
		}
		s.m.Unlock()
	})
	// waiter: waits once per line received.
	proctest.Register("waiter", func(c *proctest.Child) {
		s := at(c.Memory(0))
		c.Say("here")
		for c.Recv() != "" {
			s.m.Lock()
			s.c.Wait(&s.m)
			s.m.Unlock()
			c.Say("returned")
		}
	})
	// holding waiter: locks; waits when told to.
	proctest.Register("holding waiter", func(c *proctest.Child) {
		s := at(c.Memory(0))
		s.m.Lock()
		c.Say("holds")
		c.Recv()
		s.c.Wait(&s.m)
		s.m.Unlock()
		c.Say("returned")
	})
	// crowd N: N goroutines wait for the condition, and pass one at a time.
	proctest.Register("crowd", func(c *proctest.Child) {
		s := at(c.Memory(0))
		n := c.Int(0)
		over := make(chan bool)
		for range n {
			go func() {
				s.m.Lock()
				defer func() { s.m.Unlock(); over <- true }()
				for s.ready.Load() == 0 {
					s.c.Wait(&s.m)
				}
				if s.inside.Add(1) != 1 {
					s.violated.Add(1)
				}
				s.passed.Add(1)
				s.inside.Add(-1)
			}()
		}
		c.Say("here")
		for range n {
			<-over
		}
		c.Say("passed")
	})
	// half waiter: E-C1, sleep, and once woken death in place of E-C3.
	proctest.Register("half waiter", func(c *proctest.Child) {
		s := at(c.Memory(0))
		s.c.waiters.Add(1)
		c.Say("sleeps")
		c.Check(futex.Wait(&s.c.seq, s.c.seq.Load()))
		c.Check(unix.Kill(os.Getpid(), unix.SIGKILL))
	})
	// half signaller: E-C2 without its wake, and death.
	proctest.Register("half signaller", func(c *proctest.Child) {
		at(c.Memory(0)).c.seq.Add(1)
		c.Check(unix.Kill(os.Getpid(), unix.SIGKILL))
	})
	// signaller: one Signal or Broadcast per line received.
	proctest.Register("signaller", func(c *proctest.Child) {
		s := at(c.Memory(0))
		c.Say("here")
		for {
			switch c.Recv() {
			case "signal":
				s.c.Signal()
			case "broadcast":
				s.c.Broadcast()
			}
			c.Say("done")
		}
	})
}

func child(t *testing.T, f *os.File, kind string, says string, opts ...proctest.Option) *proctest.Proc {
	t.Helper()
	p := proctest.Start(t, kind, append(opts, proctest.Files(f))...)
	p.Expect(says)
	return p
}

// sleeping sends a waiter to sleep on the Cond.
func sleeping(t *testing.T, p *proctest.Proc) {
	t.Helper()
	p.Send("wait")
	proctest.AwaitSleepers(t, p.Pid, 1)
}

func TestBroadcastWakesAllAndEachHoldsTheMutex(t *testing.T) { // T43, T50
	const processes = 4
	for _, each := range []int{1, 64} {
		f, s := share(t)
		var children []*proctest.Proc
		for range processes {
			children = append(children, child(t, f, "crowd", "here", proctest.Args(strconv.Itoa(each))))
		}
		proctest.Until(t, "all to wait", func() bool { return s.c.waiters.Load() == uint32(processes*each) })
		s.m.Lock()
		s.ready.Store(1)
		start := time.Now()
		s.c.Broadcast() // holding it: they come out one by one
		s.m.Unlock()
		for _, p := range children {
			p.Expect("passed")
			p.WaitExit(0)
		}
		t.Logf("%d waiters in %d processes passed in %v", processes*each, processes, time.Since(start))
		if n := s.passed.Load(); n != int64(processes*each) || s.violated.Load() > 0 {
			t.Errorf("%d of %d passed, %d times two at once", n, processes*each, s.violated.Load())
		}
		expectNobody(t, s)
	}
}

func TestSignalCrossesProcesses(t *testing.T) { // T50
	f, s := share(t)
	p := child(t, f, "waiter", "here")
	for _, how := range []func(){s.c.Signal, s.c.Broadcast} {
		sleeping(t, p)
		start := time.Now()
		how()
		p.Expect("returned")
		t.Logf("%v", time.Since(start))
	}
	one := waitHere(t, context.Background(), s)
	sig := child(t, f, "signaller", "here")
	sig.Send("signal")
	sig.Expect("done")
	expectNil(t, one)
	expectNobody(t, s)
}

// survives proves that signals do not block and that new waiters, here and in
// another process, are served.
func survives(t *testing.T, f *os.File, s *scene, after string) {
	t.Helper()
	start := time.Now()
	for range 1000 {
		s.c.Signal()
		s.c.Broadcast()
	}
	if took := time.Since(start); proctest.TooLate(took) {
		t.Errorf("2000 signals took %v after %s", took, after)
	}
	p := child(t, f, "waiter", "here")
	for _, how := range []func(){s.c.Signal, s.c.Broadcast} {
		sleeping(t, p)
		start := time.Now()
		how()
		p.Expect("returned")
		proctest.Within(t, "a new waiter after "+after, start)
	}
	here := waitHere(t, context.Background(), s)
	start = time.Now()
	s.c.Signal()
	expectNil(t, here)
	proctest.Within(t, "one of this process after "+after, start)
}

func TestAWaiterKilledAsleepBlocksNobody(t *testing.T) { // T45, P-C2
	f, s := share(t)
	p := child(t, f, "waiter", "here")
	sleeping(t, p)
	p.Kill()
	survives(t, f, s, "a waiter killed asleep")
	if n := s.c.waiters.Load(); n != 1 {
		t.Errorf("%d waiters are counted, of whom one is dead", n)
	}
}

func TestAWaiterKilledWokenBlocksNobodyAndEatsNoSignal(t *testing.T) { // T45, P-C2
	f, s := share(t)
	half := child(t, f, "half waiter", "sleeps")
	proctest.AwaitSleepers(t, half.Pid, 1)
	p := child(t, f, "waiter", "here")
	sleeping(t, p) // behind it
	start := time.Now()
	s.c.Signal() // to the one that dies of it
	half.WaitKilled(unix.SIGKILL)
	p.Expect("returned")
	proctest.Within(t, "after the waiter that was woken died", start)
	survives(t, f, s, "a waiter killed woken")
}

func TestAWaiterKilledAtAMark(t *testing.T) { // T45, by marks
	for _, where := range []string{"E-C1 unlocked not asleep", "E-C3 woken not locked"} {
		f, s := share(t)
		p := child(t, f, "waiter", "here", proctest.Mark(where))
		p.Send("wait")
		if where == "E-C3 woken not locked" {
			proctest.AwaitSleepers(t, p.Pid, 1)
			s.c.Signal()
		}
		p.WaitKilled(unix.SIGKILL)
		survives(t, f, s, "a waiter killed at "+where)
	}
}

func TestAWaiterKilledLockingAgainBlocksNobody(t *testing.T) { // T45
	f, s := share(t)
	p := child(t, f, "waiter", "here")
	sleeping(t, p)
	s.m.Lock()
	s.c.Signal()
	proctest.Until(t, "it to be woken", func() bool { return s.c.waiters.Load() == 0 })
	proctest.AwaitSleepers(t, p.Pid, 1) // on the mutex now
	p.Kill()
	s.m.Unlock()
	survives(t, f, s, "a waiter killed while it locked again")
	expectNobody(t, s)
}

func TestAStoppedWaiterReturnsLater(t *testing.T) { // T48
	f, s := share(t)
	p := child(t, f, "waiter", "here")
	s.c.seq.Store(0xFFFFFFF0)
	sleeping(t, p)
	p.Stop()
	for range 64 {
		s.c.Signal()
	}
	start := time.Now()
	p.Cont()
	p.Expect("returned")
	proctest.Within(t, "after SIGCONT", start)
	expectNobody(t, s)
}

func TestASignalBeforeAStoppedWaiterSleeps(t *testing.T) { // T42, by marks
	f, s := share(t)
	p := child(t, f, "waiter", "here", proctest.Mark("E-C1 unlocked not asleep:stop"))
	p.Send("wait")
	p.AwaitStop()
	s.c.Signal() // finds nobody asleep
	later := child(t, f, "waiter", "here")
	sleeping(t, later)
	start := time.Now()
	p.Cont()
	p.Expect("returned")
	proctest.Within(t, "signalled before it slept", start)
	s.c.Signal()
	later.Expect("returned")
	expectNobody(t, s)
}

// Stopped inside Wait's Unlock: whoever locks then and signals must reach it.
func TestASignalWhileAWaiterUnlocks(t *testing.T) { // T42, by marks
	f, s := share(t)
	p := child(t, f, "holding waiter", "holds", proctest.Mark("E-M5 released not woken:stop"))
	locked := make(chan bool)
	go func() {
		s.m.Lock()
		locked <- true
	}()
	proctest.AwaitSleepers(t, os.Getpid(), 1) // so that its Unlock has somebody to wake
	p.Send("wait")
	p.AwaitStop()
	<-locked // by the look
	s.c.Signal()
	s.m.Unlock()
	start := time.Now()
	p.Cont()
	p.Expect("returned")
	proctest.Within(t, "signalled while it unlocked", start)
	expectNobody(t, s)
}

func TestBroadcastReachesAllProcessesAtOnce(t *testing.T) { // T43
	f, s := share(t)
	const rounds = 20
	var all []*proctest.Proc
	for range 3 {
		all = append(all, child(t, f, "waiter", "here"))
	}
	proctest.Measure(t, func() (complaint string) {
		slow := 0
		for range rounds {
			for _, p := range all {
				sleeping(t, p)
			}
			start := time.Now()
			s.c.Broadcast()
			for _, p := range all {
				p.Expect("returned")
			}
			if time.Since(start) > 20*time.Millisecond {
				slow++ // by the look, or the machine is busy
			}
		}
		t.Logf("%d of %d broadcasts to 3 processes took more than 20 ms", slow, rounds)
		if slow > rounds/2 {
			return fmt.Sprintf("%d of %d broadcasts waited for the look", slow, rounds)
		}
		return ""
	})
}

func TestAKilledSignallersWaitersRecover(t *testing.T) { // T46
	f, s := share(t)
	p := child(t, f, "waiter", "here")
	sleeping(t, p)
	here := waitHere(t, context.Background(), s)
	start := time.Now()
	proctest.Start(t, "half signaller", proctest.Files(f)).WaitKilled(unix.SIGKILL)
	p.Expect("returned")
	expectNil(t, here)
	proctest.Within(t, "after the signaller was killed", start)
}

func TestASignallerKilledInTheRealCode(t *testing.T) { // T46, by marks
	for _, how := range []string{"signal", "broadcast"} {
		f, s := share(t)
		sig := child(t, f, "signaller", "here", proctest.Mark("E-C2 moved not woken"))
		p := child(t, f, "waiter", "here")
		sleeping(t, p)
		here := waitHere(t, context.Background(), s)
		sig.Send(how)
		sig.WaitKilled(unix.SIGKILL)
		start := time.Now()
		p.Expect("returned")
		expectNil(t, here)
		proctest.Within(t, "after a "+how+" was cut short", start)
	}
}

// orphan lets another process take the mutex of a waiter of ours that sleeps, wake
// the waiter and die.
