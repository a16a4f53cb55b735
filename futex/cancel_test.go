// What holds for WaitContext:
//   - a deadline is never early, and no clock but the monotonic one counts (T03, T09,
//     P-G12); waiting uses no CPU;
//   - a cancellation or an end of time swallows no wake, and a wake is not taken for
//     them: as many sleeps end by a wake as Wake says it woke (T08);
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
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

func init() {
	// waiters N ERRNO: N goroutines wait and are cancelled, until the flag is set.
	proctest.Register("waiters", func(c *proctest.Child) {
		mem := c.Memory(0)
		if !refuseWaitv(c, unix.Errno(c.Int(1))) {
			return
		}
		c.Say("here")
		waiters(mem, c.Int(0))
		c.Sayf("over, has futex_waitv: %v", HasWaitv())
	})
	// refused ERRNO PROBE: what must hold where futex_waitv fails so, one line per
	// check; with PROBE 1 the filter comes after it was found.
	proctest.Register("refused", func(c *proctest.Child) {
		if c.Int(1) == 1 {
			HasWaitv()
		}
		if !refuseWaitv(c, unix.Errno(c.Int(0))) {
			return
		}
		mem := c.Memory(0)
		c.Sayf("lost %d", pingPong(100))
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		c.Sayf("%v", WaitContext(ctx, word(mem, offWord), 0))
		c.Sayf("%d", time.Since(start))
		i, _, err := new(Sleeper).SleepAny([]Expect{{word(mem, offWord), 0}})
		c.Sayf("%d, refused: %v", i, errors.Is(err, unix.ENOSYS))
		c.Sayf("has futex_waitv: %v", HasWaitv())
	})
	// deadline DURATION: waits that long, and tells how late it returned.
	proctest.Register("deadline", func(c *proctest.Child) {
		d, err := time.ParseDuration(c.Args[0])
		c.Check(err)
		mem := c.Memory(0)
		deadline := time.Now().Add(d)
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		defer cancel()
		c.Say("waits")
		err = WaitContext(ctx, word(mem, offWord), 0)
		count(mem, offReturns).Add(1)
		c.Sayf("%v", err)
		c.Sayf("%d", time.Since(deadline))
	})
}

// refuseWaitv makes a child's futex_waitv fail so, 0 for not at all. Where it
// cannot it says so.
func refuseWaitv(c *proctest.Child, errno unix.Errno) bool {
	if errno == 0 {
		return true
	}
	if err := forbidWaitv(errno); err != nil {
		c.Sayf("cannot: %v", err)
		return false
	}
	if e := tryWaitv(); e != errno {
		c.Fatalf("futex_waitv: %v", e)
	}
	return true
}

// refusing starts a child that calls refuseWaitv, and returns the first line it says.
func refusing(t *testing.T, name string, f *os.File, args ...string) (*proctest.Proc, string) {
	t.Helper()
	p := proctest.Start(t, name, proctest.Files(f), proctest.Args(args...))
	first := p.Line()
	if strings.HasPrefix(first, "cannot") {
		t.Skipf("no seccomp filter here: %s", first)
	}
	return p, first
}

// Offsets of what a storm uses.
const (
	offWord    = 0
	offStop    = 64  // set: the waiters end
	offWaiting = 128 // goroutines that still wait
	offReturns = 192 // waits that returned nil
	offCancels = 256 // waits that were cancelled
)

// waits are the ways to wait with an end. After a WaitContext that returns nil the
// word was woken, since it never changes.
var waits = []func(s *Sleeper, w *atomic.Uint32, limit time.Duration) Why{
	func(_ *Sleeper, w *atomic.Uint32, limit time.Duration) Why {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		switch err := WaitContext(ctx, w, 0); err {
		case nil:
			return Woken
		case context.DeadlineExceeded:
			return Roused
		default:
			panic(err)
		}
	},
	func(s *Sleeper, w *atomic.Uint32, limit time.Duration) Why {
		defer time.AfterFunc(limit, s.Rouse).Stop()
		return must(s.Sleep(w, 0))
	},
	func(s *Sleeper, w *atomic.Uint32, limit time.Duration) Why {
		return must(s.SleepFor(w, 0, limit))
	},
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

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
			s := new(Sleeper)
			for i := 0; stop.Load() == 0; i++ {
				switch why := waits[i%len(waits)](s, w, time.Duration(rand.IntN(300))*time.Microsecond); why {
				case Woken:
					returns.Add(1)
				case Roused, Expired:
					cancels.Add(1)
				default:
					panic(why)
				}
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
	bothWays(t, func(t *testing.T) {
		f, mem := proctest.Memfd(t, 4096)
		var errno unix.Errno
		if !HasWaitv() {
			errno = unix.ENOSYS
		}
		var children []*proctest.Proc
		for range 2 {
			p, _ := refusing(t, "waiters", f, "3", strconv.Itoa(int(errno)))
			children = append(children, p)
		}
		go waiters(mem, 3)
		woken := wakeAll(mem, 10_000, time.Millisecond)
		for _, p := range children {
			p.Expect(fmt.Sprintf("over, has futex_waitv: %v", errno == 0))
		}
		if returns := count(mem, offReturns).Load(); returns != int64(woken) {
			t.Errorf("%d wakes were used up, %d waits returned by a wake", woken, returns)
		}
		t.Logf("%d wakes, %d cancellations", woken, count(mem, offCancels).Load())
	})
}

func TestItAllHoldsWhereFutexWaitvIsRefused(t *testing.T) { // T88, P-K13
	proctest.Watchdog(t, hang, nil)
	for _, c := range []struct {
		errno unix.Errno
		probe string
	}{{unix.ENOSYS, "0"}, {unix.ENOSYS, "1"}, {unix.EPERM, "0"}, {unix.EPERM, "1"}, {unix.EACCES, "0"}} {
		f, _ := proctest.Memfd(t, 4096)
		p, first := refusing(t, "refused", f, strconv.Itoa(int(c.errno)), c.probe)
		if first != "lost 0" {
			t.Errorf("%v: rouses: %s", c.errno, first)
		}
		p.Expect(context.DeadlineExceeded.Error())
		took, err := strconv.Atoi(p.Line())
		if d := time.Duration(took); err != nil || d < 50*time.Millisecond || proctest.TooLate(d) {
			t.Errorf("%v: a wait of 50 ms took %v, %v", c.errno, d, err)
		}
		p.Expect("-1, refused: true")
		p.Expect("has futex_waitv: false")
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
	bothWays(t, func(t *testing.T) {
		before := cpuTime(t)
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		err := WaitContext(ctx, word(mem, 0), 0)
		used := cpuTime(t) - before
		t.Logf("500 ms: %v of CPU", used)
		if err != context.DeadlineExceeded || used > 100*time.Millisecond {
			t.Errorf("%v, and %v of CPU for a wait of 500 ms", err, used)
		}
	})
}

func TestAStoppedWaiterTimesOutAsSoonAsItGoesOn(t *testing.T) { // T09
	proctest.Watchdog(t, hang, nil)
	f, mem := proctest.Memfd(t, 4096)
	returned := count(mem, offReturns)
	var p *proctest.Proc
	for limit := 200 * time.Millisecond; ; limit *= 2 { // until it is stopped before its end
		p = proctest.Start(t, "deadline", proctest.Files(f), proctest.Args(limit.String()))
		p.Expect("waits")
		proctest.Until(t, "it to sleep", func() bool { return proctest.Sleepers(p.Pid) > 0 || returned.Load() > 0 })
		p.Stop()
		if returned.Load() == 0 {
			p.Silent(limit + 300*time.Millisecond) // the deadline passes
			break
		}
		p.Kill()
		returned.Store(0)
	}
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
