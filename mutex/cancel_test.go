// What holds for giving up the wait:
//   - LockContext with an error does not hold the mutex, and with nil it does,
//     also when cancelled at the very moment of the hand-over (T15);
//   - it ends soon after its context, in the queue and asleep, also when a wake and
//     the cancellation come together and another goroutine has the mutex;
//   - a storm of time-outs mixed with unlocks, in several processes, loses no lock
//     and leaves nobody stuck (T14, P-M10);
//   - one that gives up the wait keeps nothing from its successors in the queue.
package mutex

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/futex"
	"interlock/internal/park"
	"interlock/internal/proctest"
)

func TestLockContextEndsAtItsDeadline(t *testing.T) {
	f, b := newBoard(t)
	p := startPeer(t, f)
	p.do("lock", "held")
	var late []time.Duration
	for range 20 {
		const wait = 10 * time.Millisecond
		start := time.Now()
		err := b.m.LockContext(within(t, wait))
		d := time.Since(start)
		if !errors.Is(err, context.DeadlineExceeded) || d < wait {
			t.Fatalf("after %v: %v", d, err)
		}
		late = append(late, d-wait)
	}
	t.Logf("after the deadline: median %v, worst %v", median(late), worst(late))
	if d := worst(late); proctest.TooLate(d) {
		t.Errorf("%v late", d)
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.m.LockContext(done); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is done: %v", err)
	}
	p.do("unlock", "free")
	if err := b.m.LockContext(done); !errors.Is(err, context.Canceled) || b.m.word.Load() != 0 {
		t.Errorf("with a context that is done, a free mutex: %v, %v", err, b)
	}
}

func TestCancelledInTheQueue(t *testing.T) {
	_, b := newBoard(t)
	b.m.Lock()
	var ends [5]chan error
	var cancels [5]context.CancelFunc
	for i := range ends {
		ctx, cancel := context.WithCancel(context.Background())
		ends[i], cancels[i] = make(chan error, 1), cancel
		go func() { ends[i] <- b.m.LockContext(ctx) }()
		proctest.Until(t, "a place in the queue", func() bool { return park.Waiters(&b.m.word) == i+1 })
	}
	for _, i := range []int{2, 0, 4} { // the middle, the front, the end
		cancels[i]()
		if err := <-ends[i]; !errors.Is(err, context.Canceled) {
			t.Fatalf("waiter %d: %v", i, err)
		}
	}
	for _, i := range []int{1, 3} {
		b.m.Unlock()
		if err := <-ends[i]; err != nil {
			t.Fatalf("waiter %d: %v", i, err)
		}
		cancels[i]()
	}
	b.m.Unlock()
	if n := park.Waiters(&b.m.word); n != 0 {
		t.Errorf("%d are left in the queue", n)
	}
}

// The wake is used up and the mutex is taken by another: the waiter goes back to
// sleep, and its context is done already.
func TestAWakeTogetherWithTheCancellation(t *testing.T) {
	f, b := newBoard(t)
	startPeer(t, f).do("lock", "held") // waiters of the holder's own process do not sleep
	for range 200 {
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- b.m.LockContext(ctx) }()
		proctest.AwaitSleepers(t, unix.Getpid(), 1)
		if _, err := futex.Wake(&b.m.word, 1); err != nil {
			t.Fatal(err)
		}
		cancel()
		select {
		case err := <-ended:
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("LockContext: %v", err)
			}
		case <-time.After(proctest.Patience):
			t.Fatalf("LockContext still waits %v after the cancellation", proctest.Patience)
		}
	}
}

func TestCancelledAtTheHandOver(t *testing.T) { // T15
	_, b := newBoard(t)
	var held, gaveUp int
	for i := range 2000 {
		b.m.Lock()
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- b.m.LockContext(ctx) }()
		for park.Waiters(&b.m.word) == 0 {
			runtime.Gosched()
		}
		for pause := rand.N(300); pause > 0; pause-- {
			runtime.Gosched() // from just before it listens to well after
		}
		if i%2 == 0 {
			go cancel()
			b.m.Unlock()
		} else {
			go b.m.Unlock()
			cancel()
		}
		err := <-ended
		switch {
		case err == nil:
			held++
			b.m.Unlock()
		case errors.Is(err, context.Canceled):
			gaveUp++
		default:
			t.Fatal(err)
		}
		cancel()
		mustHold(t, &b.m) // "cancelled" and yet held would hang here
		b.m.Unlock()
		if _, held := b.m.Owner(); held {
			t.Fatalf("round %d, %v: still held: %v", i, err, b)
		}
	}
	t.Logf("%d got it, %d gave up", held, gaveUp)
}

func init() {
	proctest.Register("impatient", func(c *proctest.Child) {
		b := at[board](c.Memory(0), 0)
		c.Say("ready")
		c.Recv()
		var stop atomic.Bool
		var got, gaveUp atomic.Uint64
		var wg sync.WaitGroup
		for g := range c.Int(0) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := 0; !stop.Load(); i++ {
					ctx, cancel := context.Background(), context.CancelFunc(func() {})
					if i%2 == 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.N(1000))*time.Microsecond)
					}
					switch err := b.m.LockContext(ctx); {
					case err == nil:
						inside(b, uint64(unix.Getpid())<<16+uint64(g)+1)
						got.Add(1)
						if i%64 == 0 {
							time.Sleep(200 * time.Microsecond) // let some give up
						}
						b.m.Unlock()
					case errors.Is(err, context.DeadlineExceeded):
						gaveUp.Add(1)
					default:
						c.Fatalf("%v", err)
					}
					cancel()
				}
			}()
		}
		c.Recv()
		stop.Store(true)
		wg.Wait()
		c.Sayf("%d %d", got.Load(), gaveUp.Load())
	})
}

func TestAStormOfTimeouts(t *testing.T) { // T14, P-M10
	const procs, goroutines, lasts = 3, "4", 3 * time.Second
	f, b := newBoard(t)
	var crowd []*proctest.Proc
	for range procs {
		p := proctest.Start(t, "impatient", proctest.Files(f), proctest.Args(goroutines))
		p.Expect("ready")
		crowd = append(crowd, p)
	}
	for _, p := range crowd {
		p.Send("go")
	}
	<-time.After(lasts) // the storm's length is its only measure
	for _, p := range crowd {
		p.Send("stop")
	}
	var got, gaveUp uint64
	for _, p := range crowd {
		a, b := twoNumbers(t, p.Line())
		got, gaveUp = got+a, gaveUp+b
		p.WaitExit(0)
	}
	t.Logf("%d got it, %d gave up", got, gaveUp)
	if b.count != got || got == 0 || gaveUp == 0 {
		t.Errorf("the counter is %d after %d increments, %d gave up", b.count, got, gaveUp)
	}
	if !b.m.TryLock() {
		t.Fatalf("it is still held: %v", b)
	}
	b.m.Unlock()
}
