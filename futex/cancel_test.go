// What holds for WaitContext:
//   - a deadline is never early, and no clock but the monotonic one counts (T03, T09,
//     P-G12); waiting uses no CPU;
//   - a cancellation swallows no wake and a wake no cancellation's: as many waits
//     return nil as Wake says it woke (T08);
//   - that holds too where futex_waitv is refused (P-K13).
//
// The storms count: the words never change, so a wait can end by a wake, by a
// cancellation and by nothing else.
package futex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

func init() {
	// waiters N: N goroutines wait and are cancelled, until the flag is set.
	proctest.Register("waiters", func(c *proctest.Child) {
		mem := c.Memory(0)
		c.Say("here")
		waiters(mem, c.Int(0))
		c.Say("over")
	})
	// refused ERRNO: what must hold where futex_waitv fails so, one line per check.
	proctest.Register("refused", func(c *proctest.Child) {
		errno := unix.Errno(c.Int(0))
		if err := forbidWaitv(errno); err != nil {
			c.Sayf("cannot: %v", err)
			return
		}
		mem := c.Memory(0)
		if e := tryWaitv(); e != errno {
			c.Fatalf("futex_waitv: %v", e)
		}
		go waiters(mem, 4)
		woken := wakeAll(mem, 300, 2*slice)
		c.Sayf("woken %d returned %d", woken, count(mem, offReturns).Load())
		c.Sayf("lost %d", pingPong(100))
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		c.Sayf("%v", WaitContext(ctx, word(mem, offWord), 0))
		c.Sayf("%d", time.Since(start))
		c.Sayf("%v", noWaitv.Load())
	})
	// deadline DURATION: waits that long, and tells how late it returned.
	proctest.Register("deadline", func(c *proctest.Child) {
		d, err := time.ParseDuration(c.Args[0])
		c.Check(err)
		deadline := time.Now().Add(d)
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		defer cancel()
		c.Say("waits")
		err = WaitContext(ctx, word(c.Memory(0), 0), 0)
		c.Sayf("%v", err)
		c.Sayf("%d", time.Since(deadline))
	})
}

// Offsets of what a storm uses.
const (
	offWord    = 0
	offStop    = 64  // set: the waiters end
	offWaiting = 128 // goroutines that still wait
	offReturns = 192 // waits that returned nil
	offCancels = 256 // waits that were cancelled
)

// waiters runs n goroutines that wait again and again, each time with another
// deadline, until the stop flag is set and they are cancelled.
func waiters(mem []byte, n int) {
	w, stop := word(mem, offWord), word(mem, offStop)
	waiting, returns, cancels := count(mem, offWaiting), count(mem, offReturns), count(mem, offCancels)
	waiting.Add(int64(n))
	var all sync.WaitGroup
	for range n {
		all.Add(1)
		go func() {
			defer all.Done()
			defer waiting.Add(-1)
			for stop.Load() == 0 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(300))*time.Microsecond)
				switch err := WaitContext(ctx, w, 0); err {
				case nil:
					returns.Add(1)
				case context.DeadlineExceeded:
					cancels.Add(1)
				default:
					panic(err)
				}
				cancel()
			}
		}()
	}
	all.Wait()
}

// wakeAll wakes, by ones and twos and with pauses in which waiters are cancelled,
// until enough were woken and cancelled, then stops them. It returns how many the
// kernel says it woke.
func wakeAll(mem []byte, enough int, pause time.Duration) (woken int) {
	for i := 0; woken < enough || count(mem, offCancels).Load() < int64(enough)/10; i++ {
		n, err := Wake(word(mem, offWord), 1+i%2)
		if err != nil {
			panic(err)
		}
		woken += n
		if i%8 == 0 {
			time.Sleep(rand.N(pause))
		}
	}
	word(mem, offStop).Store(1)
	for count(mem, offWaiting).Load() > 0 {
		time.Sleep(time.Millisecond) // their deadlines end them
	}
	return woken
}

func TestNoWakeIsSwallowedByACancellation(t *testing.T) {
	proctest.Watchdog(t, hang, nil)
	f, mem := proctest.Memfd(t, 4096)
	var children []*proctest.Proc
	for range 2 {
		p := proctest.Start(t, "waiters", proctest.Files(f), proctest.Args("3"))
		p.Expect("here")
		children = append(children, p)
	}
	go waiters(mem, 3)
	woken := wakeAll(mem, 10_000, time.Millisecond)
	for _, p := range children {
		p.Expect("over")
	}
	if returns := count(mem, offReturns).Load(); returns != int64(woken) {
		t.Errorf("%d wakes were used up, %d waits returned nil", woken, returns)
	}
	t.Logf("%d wakes, %d cancellations", woken, count(mem, offCancels).Load())
}

func TestItAllHoldsWhereFutexWaitvIsRefused(t *testing.T) { // P-K13
	proctest.Watchdog(t, hang, nil)
	for _, errno := range []unix.Errno{unix.ENOSYS, unix.EPERM} {
		f, mem := proctest.Memfd(t, 4096)
		p := proctest.Start(t, "refused", proctest.Files(f), proctest.Args(strconv.Itoa(int(errno))))
		first := p.Line()
		var woken, returned int
		if _, err := fmt.Sscanf(first, "woken %d returned %d", &woken, &returned); err != nil {
			t.Skipf("no seccomp filter here: %s", first)
		}
		if woken != returned || woken == 0 {
			t.Errorf("%v: %s", errno, first)
		}
		t.Logf("%v: %s, %d cancellations", errno, first, count(mem, offCancels).Load())
		p.Expect("lost 0")
		p.Expect(context.DeadlineExceeded.Error())
		took, err := strconv.Atoi(p.Line())
		if d := time.Duration(took); err != nil || d < 50*time.Millisecond || d > time.Second {
			t.Errorf("%v: a wait of 50 ms took %v, %v", errno, d, err)
		}
		p.Expect("true")
		p.WaitExit(0)
	}
}

func TestADeadlineIsNeverEarly(t *testing.T) { // T03, P-G12
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	const lanes = 20
	late := make([]time.Duration, 100)
	var all sync.WaitGroup
	all.Add(lanes)
	for lane := range lanes {
		go func() {
			defer all.Done()
			for i := lane; i < len(late); i += lanes {
				d := time.Duration(1+2*i) * time.Millisecond
				deadline := time.Now().Add(d)
				ctx, cancel := context.WithDeadline(context.Background(), deadline)
				err := WaitContext(ctx, word(mem, 4*i), 0)
				late[i] = time.Since(deadline)
				cancel()
				if err != context.DeadlineExceeded || late[i] < 0 {
					t.Errorf("a wait of %v returned %v, %v after its deadline", d, err, late[i])
				}
			}
		}()
	}
	all.Wait()
	slices.Sort(late)
	t.Logf("late: median %v, p99 %v, worst %v", late[50], late[98], late[99])
	if late[50] > time.Second { // the worst says more about the machine
		t.Errorf("half the waits ended %v after their deadlines", late[50])
	}
}

func TestOddDeadlines(t *testing.T) { // T03
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	for _, d := range []time.Duration{0, -1, math.MinInt64} {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		if err := WaitContext(ctx, word(mem, 0), 0); err != context.DeadlineExceeded {
			t.Errorf("a wait of %v: %v", d, err)
		}
		if err := WaitContext(ctx, word(mem, 0), 1); err != context.DeadlineExceeded {
			t.Errorf("a wait of %v for another value: %v", d, err)
		}
		cancel()
	}
	for _, d := range []time.Duration{1 << 62, math.MaxInt64} {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		ended := make(chan error)
		go func() { ended <- WaitContext(ctx, word(mem, 0), 0) }()
		proctest.AwaitSleepers(t, os.Getpid(), 1)
		cancel()
		if err := <-ended; err != context.Canceled {
			t.Errorf("a wait of %v: %v", d, err)
		}
	}
}

func cpuTime(t *testing.T) time.Duration {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func TestWaitingUsesNoCPU(t *testing.T) { // T03
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	for _, sliced := range []bool{false, true} {
		noWaitv.Store(sliced)
		before := cpuTime(t)
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		err := WaitContext(ctx, word(mem, 0), 0)
		used := cpuTime(t) - before
		noWaitv.Store(false)
		cancel()
		t.Logf("500 ms without futex_waitv (%v): %v of CPU", sliced, used)
		if err != context.DeadlineExceeded || used > 100*time.Millisecond {
			t.Errorf("%v, and %v of CPU for a wait of 500 ms", err, used)
		}
	}
}

func TestAStoppedWaiterTimesOutAsSoonAsItGoesOn(t *testing.T) { // T09
	proctest.Watchdog(t, hang, nil)
	f, _ := proctest.Memfd(t, 4096)
	p := proctest.Start(t, "deadline", proctest.Files(f), proctest.Args("200ms"))
	p.Expect("waits")
	proctest.AwaitSleepers(t, p.Pid, 1)
	p.Stop()
	p.Silent(500 * time.Millisecond) // the deadline passes
	start := time.Now()
	p.Cont()
	p.Expect(context.DeadlineExceeded.Error())
	t.Logf("timed out %v after SIGCONT", time.Since(start))
	if ns, err := strconv.Atoi(p.Line()); err != nil || ns < 0 {
		t.Errorf("%d ns after its deadline, %v", ns, err)
	}
}

func TestACancelledContextWaitsForNothing(t *testing.T) {
	_, mem := proctest.Memfd(t, 4096)
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("a cause"))
	if err := WaitContext(ctx, word(mem, 0), 0); err != context.Canceled {
		t.Errorf("%v, not ctx.Err() itself", err)
	}
}

func TestARequeuedWaiterIsWokenAndCancelledLikeAnyOther(t *testing.T) {
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	from, to := word(mem, 0), word(mem, 64)
	for _, wake := range []bool{true, false} {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() { ended <- WaitContext(ctx, from, 0) }()
		proctest.AwaitSleepers(t, os.Getpid(), 1)
		if n, err := Requeue(from, 0, 0, to, 1); n != 1 || err != nil {
			t.Fatalf("Requeue = %d, %v", n, err)
		}
		expectWake(t, from, 1, 0)
		if wake {
			expectWake(t, to, 1, 1)
		} else {
			cancel()
		}
		if err := <-ended; (err == nil) != wake {
			t.Errorf("woken %v: %v", wake, err)
		}
		cancel()
	}
}

// pingPong rouses a sleeper n times, each time after it answered the time before,
// and returns how many of its sleeps ended otherwise.
// pin puts the calling goroutine on a thread of its own, which ends with it, and
// that on the first CPU.
// TestAWakeBeatsARouse sends both from one thread to a sleeper on the same CPU, so
// that both have arrived when the sleeper runs.
