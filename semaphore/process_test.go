// What holds for a Semaphore between processes that die:
//   - never more permits than were given; those of the dead are lost, and nothing
//     else is (T35, INV-S1, P-S4);
//   - whoever is killed, at whatever step, a permit that is there reaches a waiter
//     within the look (T40, P-S2, INV-S2): the poster between adding and waking, the
//     waiter before it sleeps, asleep, or woken and not yet running;
//   - a stopped waiter keeps no permit from others.
//
// Kills are SIGKILLs from outside where the victim provably sleeps, or comes to
// itself between two atomics: by hand (it does the first one only), and with -tags
// marks inside the real code.
package semaphore

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/futex"
	"interlock/internal/park"
	"interlock/internal/proctest"
	"interlock/internal/spin"
)

func init() {
	// taker [SLOT]: takes one permit per line received, counts it in its slot and
	// says that it has it.
	proctest.Register("taker", func(c *proctest.Child) {
		mem := c.Memory(0)
		s := sem(mem)
		c.Say("here")
		for c.Recv() != "" {
			c.Check(s.Acquire(context.Background()))
			if len(c.Args) > 0 {
				count(mem, offSlots+8*c.Int(0)).Add(1)
			}
			c.Say("got")
		}
	})
	// giver: one permit per line received.
	proctest.Register("giver", func(c *proctest.Child) {
		s := sem(c.Memory(0))
		c.Say("here")
		for c.Recv() != "" {
			c.Check(s.Release())
			c.Say("gave")
		}
	})
	// half a giver: E-S4 without its wake, and death.
	proctest.Register("half giver", func(c *proctest.Child) {
		sem(c.Memory(0)).data.Add(1)
		c.Check(unix.Kill(os.Getpid(), unix.SIGKILL))
	})
	// half taker END: counts itself (E-S2), sleeps, and once woken is killed or
	// stopped in place of E-S3. It was the first to sleep, so the wake was for it.
	proctest.Register("half taker", func(c *proctest.Child) {
		s := sem(c.Memory(0))
		s.data.Add(oneWaiter)
		c.Say("sleeps")
		c.Check(futex.Wait(s.futex(), 0))
		if c.Args[0] == "killed" {
			c.Check(unix.Kill(os.Getpid(), unix.SIGKILL))
		}
		c.Say("woken")
		c.Recv()
		for !s.take(true) {
			c.Check(futex.Wait(s.futex(), 0))
		}
		c.Say("got")
	})
	// holder SLOT: takes and gives for ever, and keeps accounts in its slot.
	proctest.Register("holder", func(c *proctest.Child) {
		mem := c.Memory(0)
		s, state, inside, order := sem(mem), count(mem, offSlots+8*c.Int(0)), count(mem, offInside), count(mem, offStop)
		c.Say("here")
		for order.Load() != end {
			if order.Load() == pause {
				state.Store(resting)
				time.Sleep(100 * time.Microsecond)
				continue
			}
			state.Store(unsure)
			c.Check(s.Acquire(context.Background()))
			state.Store(holding)
			if inside.Add(1) > permits {
				c.Fatalf("more than %d inside", permits)
			}
			count(mem, offTurns).Add(1)
			spin.Pause(200) // so that some are killed here
			inside.Add(-1)
			state.Store(unsure)
			c.Check(s.Release())
			state.Store(idle)
		}
	})
}

// What the children keep beside the semaphore.
const (
	offTurns  = 64
	offStop   = 128
	offInside = 192
	offSlots  = 256

	permits = 3
)

// States of a holder. A death in unsure may or may not have cost the permit.
const (
	idle int64 = iota
	unsure
	holding
	resting
)

// Orders to the holders.
const (
	end   = 1
	pause = 2
)

// shared makes a semaphore and starts n children of a kind on it.
func shared(t *testing.T, value uint32, kind string, n int) (*os.File, []byte, *Semaphore, []*proctest.Proc) {
	t.Helper()
	f, mem := proctest.Memfd(t, 4096)
	s := sem(mem)
	s.Init(value)
	watch(t, s)
	var children []*proctest.Proc
	for i := range n {
		p := proctest.Start(t, kind, proctest.Files(f), proctest.Args(strconv.Itoa(i)))
		p.Expect("here")
		children = append(children, p)
	}
	return f, mem, s, children
}

// sleeping sends a taker to sleep.
func sleeping(t *testing.T, p *proctest.Proc) {
	t.Helper()
	p.Send("take")
	proctest.AwaitSleepers(t, p.Pid, 1)
}

func TestAPermitGoesToAnotherProcess(t *testing.T) {
	f, _, s, takers := shared(t, 0, "taker", 1)
	sleeping(t, takers[0])
	giver := proctest.Start(t, "giver", proctest.Files(f))
	giver.Expect("here")
	start := time.Now()
	giver.Send("give")
	giver.Expect("gave")
	takers[0].Expect("got")
	t.Logf("from process to process in %v", time.Since(start))
	if s.data.Load() != 0 {
		t.Errorf("data is %#x with nobody left", s.data.Load())
	}
}

func TestAKilledSleeperEatsNoPermit(t *testing.T) { // T40
	_, _, s, takers := shared(t, 0, "taker", 2)
	sleeping(t, takers[0])
	sleeping(t, takers[1])
	takers[0].Kill()
	start := time.Now()
	give(t, s)
	takers[1].Expect("got")
	proctest.Within(t, "after a sleeper was killed", start)
	// The dead one stays counted, which costs a call for nobody and no more.
	if s.waiters() != 1 || s.Value() != 0 {
		t.Errorf("data is %#x", s.data.Load())
	}
	sleeping(t, takers[1])
	give(t, s)
	takers[1].Expect("got")
}

func TestAWokenWaiterThatIsStoppedOrKilledEatsNoPermit(t *testing.T) { // T40, P-S2
	for _, fate := range []string{"stopped", "killed"} {
		f, _, s, takers := shared(t, 0, "taker", 1)
		half := proctest.Start(t, "half taker", proctest.Files(f), proctest.Args(fate))
		half.Expect("sleeps")
		proctest.AwaitSleepers(t, half.Pid, 1)
		sleeping(t, takers[0]) // behind it in the kernel's queue
		start := time.Now()
		give(t, s)
		if fate == "killed" {
			half.WaitKilled(unix.SIGKILL)
		} else {
			half.Expect("woken")
		}
		takers[0].Expect("got")
		proctest.Within(t, "while the one that was woken is "+fate, start)
		expectValue(t, s, 0)
		if fate == "stopped" { // it finds nothing, sleeps again, and has its turn
			half.Send("go on")
			proctest.AwaitSleepers(t, half.Pid, 1)
			give(t, s)
			half.Expect("got")
			if s.data.Load() != 0 {
				t.Errorf("data is %#x with nobody left", s.data.Load())
			}
		}
	}
}

// A SIGSTOP takes a sleeper out of the kernel's queue until SIGCONT, so no wake
// goes to a stopped one.
func TestAStoppedSleeperEatsNoPermit(t *testing.T) { // T31, P-K8
	_, _, s, takers := shared(t, 0, "taker", 2)
	sleeping(t, takers[0])
	sleeping(t, takers[1])
	takers[0].Stop()
	start := time.Now()
	give(t, s)
	takers[1].Expect("got")
	proctest.Within(t, "beside a stopped sleeper", start)
	give(t, s) // none but the stopped one is there
	start = time.Now()
	takers[0].Cont()
	takers[0].Expect("got")
	proctest.Within(t, "after SIGCONT", start)
	if s.data.Load() != 0 {
		t.Errorf("data is %#x with nobody left", s.data.Load())
	}
}

func TestAPosterKilledBeforeItsWakeLosesNoPermit(t *testing.T) { // T40, P-S2
	f, _, s, takers := shared(t, 0, "taker", 1)
	sleeping(t, takers[0])
	start := time.Now()
	proctest.Start(t, "half giver", proctest.Files(f)).WaitKilled(unix.SIGKILL)
	takers[0].Expect("got")
	proctest.Within(t, "another process's waiter, after its poster was killed", start)
	got, _ := queue(t, context.Background(), s, 2)
	proctest.Start(t, "half giver", proctest.Files(f)).WaitKilled(unix.SIGKILL)
	proctest.Start(t, "half giver", proctest.Files(f)).WaitKilled(unix.SIGKILL)
	start = time.Now()
	<-got
	<-got
	proctest.Within(t, "two waiters of this process, after theirs were", start)
}

func TestAPosterKilledInTheRealCode(t *testing.T) { // T40, P-S2, by marks
	f, _, s, takers := shared(t, 0, "taker", 1)
	sleeping(t, takers[0])
	giver := proctest.Start(t, "giver", proctest.Files(f), proctest.Mark("E-S4 given not woken"))
	giver.Expect("here")
	giver.Send("give")
	giver.WaitKilled(unix.SIGKILL)
	start := time.Now()
	takers[0].Expect("got")
	proctest.Within(t, "after its poster was killed", start)
	expectValue(t, s, 0)
}

func TestAWaiterStoppedOrKilledBeforeItSleeps(t *testing.T) { // T40, by marks
	for _, action := range []string{"kill", "stop"} {
		f, _, s, takers := shared(t, 0, "taker", 1)
		p := proctest.Start(t, "taker", proctest.Files(f), proctest.Mark("E-S2 counted not asleep:"+action))
		p.Expect("here")
		p.Send("take")
		if action == "kill" {
			p.WaitKilled(unix.SIGKILL)
		} else {
			p.AwaitStop()
		}
		if s.waiters() != 1 {
			t.Fatalf("data is %#x", s.data.Load())
		}
		sleeping(t, takers[0])
		start := time.Now()
		give(t, s)
		takers[0].Expect("got")
		proctest.Within(t, "beside one who never slept ("+action+")", start)
		expectValue(t, s, 0)
		if action == "stop" {
			give(t, s) // no wake reaches it: it must not go to sleep
			p.Cont()
			start := time.Now()
			p.Expect("got")
			proctest.Within(t, "a permit given before it slept", start)
			if s.data.Load() != 0 {
				t.Errorf("data is %#x with nobody left", s.data.Load())
			}
		}
	}
}

func TestKilledHoldersLoseTheirPermitsAndNoOthers(t *testing.T) { // T35, P-S4
	const workers, kills = 4, 40
	f, mem, s, holders := shared(t, permits, "holder", workers)
	order, turns := count(mem, offStop), count(mem, offTurns)
	var deaths [4]int
	lost := 0
	for range kills {
		enough := turns.Load() + int64(rand.IntN(2000))
		proctest.Until(t, "some turns", func() bool { return turns.Load() > enough })
		i := rand.IntN(workers)
		holders[i].Kill()
		order.Store(pause)
		slot := func(j int) int64 { return count(mem, offSlots+8*j).Load() }
		proctest.Until(t, "the others to rest", func() bool {
			for j := range workers {
				if j != i && slot(j) != resting {
					return false
				}
			}
			return true
		})
		died := slot(i)
		deaths[died]++
		missing := permits - int(s.Value())
		lost += missing
		if missing < 0 || missing > 1 || died == holding && missing != 1 || died == idle && missing != 0 {
			t.Fatalf("%d of %d permits are missing after a death in state %d", missing, permits, died)
		}
		if s.waiters() > kills {
			t.Fatalf("data is %#x at rest", s.data.Load())
		}
		for range missing {
			give(t, s) // now the accounts say that it is lost
		}
		count(mem, offInside).Store(0)
		for j := range workers {
			count(mem, offSlots+8*j).Store(idle) // else an old rest could pass for a new one
		}
		order.Store(0)
		holders[i] = proctest.Start(t, "holder", proctest.Files(f), proctest.Args(strconv.Itoa(i)))
		holders[i].Expect("here")
	}
	order.Store(end)
	for _, p := range holders {
		p.WaitExit(0)
	}
	t.Logf("%d turns, %d kills: %d idle, %d in a call, %d holding; %d permits lost",
		turns.Load(), kills, deaths[idle], deaths[unsure], deaths[holding], lost)
	expectValue(t, s, permits)
}

// switches tells, for each thread of a process that sleeps on a shared word, how
// often it has gone to sleep so far.
func TestTheQueueOfAStoppedProcessHoldsUpNobodyElse(t *testing.T) { // T30, T31
	_, _, s, takers := shared(t, 0, "taker", 2)
	sleeping(t, takers[0])
	takers[0].Stop()
	got, _ := queueBeside(t, s, 3)
	sleeping(t, takers[1])
	for range 4 {
		give(t, s)
	}
	start := time.Now()
	for range 3 {
		<-got
	}
	takers[1].Expect("got")
	proctest.Within(t, "four permits beside a stopped waiter", start)
	expectValue(t, s, 0)
}

// queueBeside is queue where others sleep already.
func queueBeside(t *testing.T, s *Semaphore, n int) (got chan int, before int) {
	t.Helper()
	before = s.waiters()
	got = make(chan int, n)
	for i := range n {
		go func() {
			if s.Acquire(context.Background()) == nil {
				got <- i
			}
		}()
	}
	proctest.Until(t, "all to queue, one to be counted", func() bool {
		return park.Waiters(s.futex()) == n && s.waiters() == before+1
	})
	return got, before
}
