// What holds for waiting:
//   - waiters of a word are served in order of arrival, whoever gives up, in the
//     front, the middle or at the end;
//   - one of them sleeps in the kernel: a thousand cost few threads (T84, P-G2);
//   - the look rouses a sleeper that nobody woke, and only then (P-M1);
//   - a wake that was used up is told as such, even with a cancellation at the same
//     moment; and the cancellation is not lost by it (T15, P-K17);
//   - the ticker stops when nobody waits, and no look outlives its waiter;
//   - a look at memory that is gone rouses its sleeper and kills nobody (P-K6);
//   - memory is busy while somebody waits in it.
package park

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/futex"
	"interlock/internal/proctest"
	"interlock/internal/region"
)

func TestMain(m *testing.M) { proctest.Main(m) }

func quiet() Finding { return Quiet }

// news is a look that rouses if f says so.
func news(f func() bool) Look { return func() Finding { return RouseIf(f()) } }

// sleeper starts a goroutine that waits until the word is no longer val.
func sleeper(ctx context.Context, word *atomic.Uint32, val uint32, look Look) chan error {
	ended := make(chan error, 1)
	n := Waiters(word)
	go func() {
		w := EnterAcquire(word, look)
		err := w.Listen(ctx)
		for err == nil && word.Load() == val {
			_, err = w.Sleep(ctx, val)
		}
		w.Leave()
		ended <- err
	}()
	for Waiters(word) == n {
		runtime.Gosched()
	}
	return ended
}

func asleep(t *testing.T, n int) {
	t.Helper()
	proctest.AwaitSleepers(t, os.Getpid(), n)
}

func ticking() bool {
	buf := make([]byte, 1<<20)
	return strings.Contains(string(buf[:runtime.Stack(buf, true)]), "park.tick(")
}

func TestWaitersAreServedInOrder(t *testing.T) {
	proctest.Watchdog(t, time.Minute, nil)
	_, mem := proctest.Memfd(t, os.Getpagesize())
	word := at(mem, 0)
	const n = 20
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		before := Waiters(word)
		go func() {
			defer wg.Done()
			w := EnterAcquire(word, quiet)
			defer w.Leave()
			if err := w.Listen(context.Background()); err != nil {
				t.Error(err)
			}
			for word.Load() == 0 {
				if _, err := w.Sleep(context.Background(), 0); err != nil {
					t.Error(err)
				}
			}
			mu.Lock()
			order = append(order, i)
			mu.Unlock()
		}()
		for Waiters(word) == before {
			runtime.Gosched()
		}
	}
	asleep(t, 1)
	word.Store(1)
	if _, err := futex.Wake(word, 1); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for i, who := range order {
		if i != who {
			t.Fatalf("served in the order %v", order)
		}
	}
}

func TestWhoeverGivesUpTheOthersKeepTheirPlace(t *testing.T) {
	proctest.Watchdog(t, time.Minute, nil)
	_, mem := proctest.Memfd(t, os.Getpagesize())
	word := at(mem, 0)
	var ends [6]chan error
	var cancels [6]context.CancelFunc
	for i := range ends {
		ctx, cancel := context.WithCancel(context.Background())
		cancels[i], ends[i] = cancel, sleeper(ctx, word, 0, quiet)
	}
	asleep(t, 1)
	for _, i := range []int{2, 0, 5, 1} { // middle, front, end, front again
		cancels[i]()
		if err := <-ends[i]; !errors.Is(err, context.Canceled) {
			t.Fatalf("waiter %d: %v", i, err)
		}
	}
	asleep(t, 1) // the new front has gone to sleep in its turn
	select {
	case err := <-ends[3]:
		t.Fatalf("waiter 3 has ended: %v", err)
	case err := <-ends[4]:
		t.Fatalf("waiter 4 has ended: %v", err)
	default:
	}
	word.Store(1)
	futex.Wake(word, 1)
	for _, i := range []int{3, 4} {
		if err := <-ends[i]; err != nil {
			t.Fatalf("waiter %d: %v", i, err)
		}
		cancels[i]()
	}
	if n := Waiters(word); n != 0 {
		t.Fatalf("%d are left", n)
	}
}

func TestAThousandWaitersCostFewThreads(t *testing.T) { // T84, P-G2
	proctest.Watchdog(t, time.Minute, nil)
	_, mem := proctest.Memfd(t, os.Getpagesize())
	word := at(mem, 0)
	before := threads(t)
	var ends []chan error
	for range 1000 {
		ends = append(ends, sleeper(context.Background(), word, 0, quiet))
	}
	asleep(t, 1)
	if n := threads(t) - before; n > proctest.FewThreads() {
		t.Errorf("%d threads more", n)
	}
	if n := Waiters(word); n != 1000 {
		t.Errorf("%d wait", n)
	}
	word.Store(1)
	futex.Wake(word, 1)
	for _, end := range ends {
		if err := <-end; err != nil {
			t.Fatal(err)
		}
	}
}

func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

func TestTheLookRousesWhomNobodyWoke(t *testing.T) { // P-M1
	proctest.Watchdog(t, time.Minute, nil)
	_, mem := proctest.Memfd(t, 2*os.Getpagesize())
	lost, fine := at(mem, 0), at(mem, 64)
	var looks, needless atomic.Int64
	first := sleeper(context.Background(), lost, 0, news(func() bool { looks.Add(1); return lost.Load() != 0 }))
	second := sleeper(context.Background(), fine, 0, news(func() bool { needless.Add(1); return fine.Load() != 0 }))
	asleep(t, 2)
	for n := looks.Load(); looks.Load() < n+3; {
		time.Sleep(time.Millisecond)
	}
	if len(first) != 0 {
		t.Fatal("it ended for nothing")
	}
	start := time.Now()
	lost.Store(1) // and no wake
	<-first
	d := time.Since(start)
	t.Logf("found by the look after %v", d)
	if proctest.TooLate(d) {
		t.Errorf("it took %v", d)
	}
	if len(second) != 0 || needless.Load() == 0 {
		t.Errorf("the neighbour: ended %v, looked at %d times", len(second) != 0, needless.Load())
	}
	fine.Store(1)
	futex.Wake(fine, 1)
	<-second
}

func TestTheTickerStopsWhenNobodyWaits(t *testing.T) {
	proctest.Watchdog(t, time.Minute, nil)
	_, mem := proctest.Memfd(t, os.Getpagesize())
	word := at(mem, 0)
	for range 3 {
		word.Store(0)
		end := sleeper(context.Background(), word, 0, quiet)
		asleep(t, 1)
		if !ticking() {
			t.Fatal("somebody sleeps and nobody looks")
		}
		word.Store(1)
		futex.Wake(word, 1)
		<-end
		proctest.Until(t, "the end of the ticker", func() bool { return !ticking() })
	}
}

func TestNoLookOutlivesItsWaiter(t *testing.T) {
	proctest.Watchdog(t, time.Minute, nil)
	_, mem := proctest.Memfd(t, os.Getpagesize())
	word := at(mem, 0)
	inLook := make(chan bool)
	goOn := make(chan bool)
	var left atomic.Bool
	look := func() Finding {
		select {
		case inLook <- true:
			<-goOn
			if left.Load() {
				t.Error("the waiter has left, and its look runs")
			}
		default:
		}
		if left.Load() {
			t.Error("a look after the waiter has left")
		}
		return Quiet
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := EnterAcquire(word, look)
	if err := w.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	slept := make(chan error)
	go func() {
		_, err := w.Sleep(ctx, 0)
		slept <- err
	}()
	<-inLook
	cancel()
	if err := <-slept; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	gone := make(chan bool)
	go func() {
		w.Leave()
		left.Store(true)
		gone <- true
	}()
	select {
	case <-gone:
		t.Error("Leave has returned, and a look runs")
	case <-time.After(10 * time.Millisecond):
	}
	goOn <- true
	<-gone
	proctest.Until(t, "the end of the ticker", func() bool { return !ticking() })
}

func TestALookAtMemoryThatIsGone(t *testing.T) { // P-K6
	proctest.Watchdog(t, time.Minute, nil)
	f, mem := proctest.Memfd(t, os.Getpagesize())
	_, other := proctest.Memfd(t, os.Getpagesize())
	end := make(chan error, 1)
	go func() {
		word := at(mem, 0)
		w := EnterAcquire(word, news(func() bool { return word.Load() != 0 }))
		woken, err := w.Sleep(context.Background(), 0)
		if woken {
			t.Error("nobody woke it")
		}
		if err == nil {
			_, err = w.Sleep(context.Background(), 0) // again, as a primitive would
		}
		w.Leave()
		end <- err
	}()
	asleep(t, 1)
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-end:
		if !errors.Is(err, unix.EFAULT) {
			t.Errorf("asleep on memory that is gone: %v", err)
		}
	case <-time.After(proctest.Patience):
		t.Fatal("it sleeps on")
	}
	// The ticker lives on for others.
	word := at(other, 0)
	second := sleeper(context.Background(), word, 0, news(func() bool { return word.Load() != 0 }))
	asleep(t, 1)
	word.Store(1)
	if err := <-second; err != nil {
		t.Error(err)
	}
}

func TestMemoryIsBusyWhileSomebodyWaits(t *testing.T) {
	proctest.Watchdog(t, time.Minute, nil)
	_, mem := proctest.Memfd(t, os.Getpagesize())
	word := at(mem, 128)
	lo := key(at(mem, 0))
	ctx, cancel := context.WithCancel(context.Background())
	end := sleeper(ctx, word, 0, quiet)
	if err := region.Detach(lo, lo+4096); !errors.Is(err, region.ErrBusy) || !strings.Contains(err.Error(), "0x80") {
		t.Errorf("somebody waits: %v", err)
	}
	for _, span := range [][2]uintptr{{0, 128}, {132, 4096}} {
		if err := region.Detach(lo+span[0], lo+span[1]); err != nil {
			t.Errorf("nobody waits in %v: %v", span, err)
		}
	}
	cancel()
	<-end
	if err := region.Detach(lo, lo+4096); err != nil {
		t.Errorf("nobody waits any more: %v", err)
	}
}
