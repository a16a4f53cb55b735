// What holds for Wait, Wake and Requeue:
//   - a wait for a value that is not there returns at once (T01);
//   - Wake(k) wakes exactly min(k, sleepers), in whatever process and at whatever
//     address they sleep (T02, T06); k <= 0 wakes nobody (P-K21);
//   - two mappings of a word are one word (T07);
//   - a signal, however often, ends no wait (T04, P-G6);
//   - an address that is no word is an error, never a crash or a hang (T05);
//   - Requeue moves as many as it says, and does nothing once the word changed.
//
// Sleepers are children, or goroutines of this process. That they sleep is read
// from /proc before anything is concluded from a wake.
package futex

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

func init() {
	// sleeper OFFSET: tells its address, then waits, once per line received.
	proctest.Register("sleeper", func(c *proctest.Child) {
		w := word(c.Memory(0), c.Int(0))
		c.Sayf("%p", w)
		for {
			c.Recv()
			c.Check(Wait(w, 0))
			c.Say("woken")
		}
	})
}

const hang = 2 * time.Minute // a watchdog's patience: never what decides

// sleepHere starts n goroutines that Wait, and returns when all sleep. The channel
// gets what each Wait returned.
func sleepHere(t *testing.T, w *atomic.Uint32, n int) chan error {
	t.Helper()
	before := proctest.Sleepers(os.Getpid())
	woken := make(chan error, n)
	for range n {
		go func() { woken <- Wait(w, w.Load()) }()
	}
	proctest.AwaitSleepers(t, os.Getpid(), before+n)
	return woken
}

func expectWoken(t *testing.T, woken chan error, n int) {
	t.Helper()
	for range n {
		if err := <-woken; err != nil {
			t.Fatalf("Wait: %v", err)
		}
	}
	select {
	case err := <-woken:
		t.Fatalf("one more than %d is awake: %v", n, err)
	default:
	}
}

func expectWake(t *testing.T, w *atomic.Uint32, n, want int) {
	t.Helper()
	if got, err := Wake(w, n); got != want || err != nil {
		t.Fatalf("Wake(%d) = %d, %v; want %d", n, got, err, want)
	}
}

func TestAWaitForAValueThatIsNotThereReturnsAtOnce(t *testing.T) { // T01
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	w := word(mem, 0)
	w.Store(1)
	for range 1000 { // nobody will wake us
		if err := Wait(w, 0); err != nil {
			t.Fatal(err)
		}
		if err := WaitContext(context.Background(), w, 2); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		if err := WaitContext(ctx, w, 2); err != nil {
			t.Fatal(err)
		}
		cancel()
		if why, err := new(Sleeper).Sleep(w, 0); why != Changed || err != nil {
			t.Fatalf("Sleep: %v, %v", why, err)
		}
	}
}

func TestWakeReachesOtherProcessesAndWakesExactlyAsManyAsAsked(t *testing.T) { // T02, T06
	proctest.Watchdog(t, hang, nil)
	const n, off = 4, 128
	f, mem := proctest.Memfd(t, 4096)
	w := word(mem, off)
	addresses := map[string]bool{fmt.Sprintf("%p", w): true}
	var children []*proctest.Proc
	for range n {
		p := proctest.Start(t, "sleeper", proctest.Files(f), proctest.Args(strconv.Itoa(off)))
		addresses[p.Line()] = true
		children = append(children, p)
	}
	if len(addresses) != n+1 {
		t.Errorf("%d processes have only %d addresses", n+1, len(addresses))
	}
	asleep := func() (k int) {
		for _, p := range children {
			k += proctest.Sleepers(p.Pid)
		}
		return k
	}
	for k := 0; k <= n+1; k++ {
		for _, p := range children {
			p.Send("wait")
			proctest.AwaitSleepers(t, p.Pid, 1)
		}
		expectWake(t, w, k, min(k, n))
		proctest.Until(t, "the woken to be awake", func() bool { return asleep() == n-min(k, n) })
		expectWake(t, w, math.MaxInt, n-min(k, n))
		for _, p := range children {
			p.Expect("woken")
		}
		expectWake(t, w, math.MaxInt, 0)
	}
}

func TestWakeOfNobodyWakesNobody(t *testing.T) { // P-K21
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	w := word(mem, 0)
	woken := sleepHere(t, w, 2)
	for _, n := range []int{0, -1, math.MinInt} {
		expectWake(t, w, n, 0)
	}
	expectWake(t, w, 1, 1)
	expectWake(t, w, 2, 1)
	expectWoken(t, woken, 2)
}

func TestTheSameWordMappedTwiceIsOneWord(t *testing.T) { // T07
	proctest.Watchdog(t, hang, nil)
	f, mem := proctest.Memfd(t, 4096)
	alias := proctest.Map(t, f)
	woken := sleepHere(t, word(mem, 8), 1)
	expectWake(t, word(mem, 12), 1, 0) // another word of the same page
	expectWake(t, word(alias, 8), 1, 1)
	expectWoken(t, woken, 1)
}

func TestWaitingNeedsNoWritePermission(t *testing.T) { // T05
	proctest.Watchdog(t, hang, nil)
	f, mem := proctest.Memfd(t, 4096)
	ro := word(mapped(t, f, unix.PROT_READ), 0)
	woken := sleepHere(t, ro, 1)
	expectWake(t, word(mem, 0), 1, 1)
	expectWoken(t, woken, 1)
	expectWake(t, ro, 1, 0)
	if err := CheckWritable(ro); !errors.Is(err, unix.EFAULT) {
		t.Errorf("CheckWritable of read-only memory: %v", err)
	}
	if err := CheckWritable(word(mem, 0)); err != nil {
		t.Errorf("CheckWritable: %v", err)
	}
	if err := Check(ro); err != nil {
		t.Errorf("Check of read-only memory: %v", err)
	}
}

func TestCheckUsesUpNoWake(t *testing.T) {
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	w := word(mem, 0)
	stop, stopped := make(chan bool), make(chan bool)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = Check(w)
			}
		}
	}()
	for range 50_000 {
		expectWake(t, w, 1, 0)
	}
	woken := sleepHere(t, w, 2)
	expectWoken(t, woken, 0)
	for _, v := range []uint32{0, 1} { // what the word holds does not matter
		w.Store(v)
		if err := Check(w); err != nil {
			t.Errorf("Check: %v", err)
		}
	}
	close(stop)
	<-stopped
	expectWake(t, w, 3, 2)
	expectWoken(t, woken, 2)
}

func TestCheckWritableChangesNothing(t *testing.T) {
	_, mem := proctest.Memfd(t, 4096)
	w := word(mem, 0)
	for _, v := range []uint32{0, 1, 0xfff, 0x80000000, 0xffffffff} {
		w.Store(v)
		if err := CheckWritable(w); err != nil || w.Load() != v {
			t.Errorf("CheckWritable of %#x: %v, and it is %#x", v, err, w.Load())
		}
	}
	if err := CheckWritable(word(mem, 2)); !errors.Is(err, unix.EINVAL) {
		t.Errorf("CheckWritable of an unaligned word: %v", err)
	}
}

// badWords are addresses that hold no word, and what the kernel says about them.
func badWords(t *testing.T) map[string]struct {
	w    *atomic.Uint32
	want unix.Errno
} {
	f, mem := proctest.Memfd(t, 8192)
	none := mapped(t, f, unix.PROT_NONE)
	short, page := proctest.Memfd(t, 8192)
	if err := short.Truncate(4096); err != nil {
		t.Fatal(err)
	}
	return map[string]struct {
		w    *atomic.Uint32
		want unix.Errno
	}{
		"unaligned by 1": {word(mem, 1), unix.EINVAL},
		"unaligned by 2": {word(mem, 4094), unix.EINVAL},
		"unmapped":       {nowhere(), unix.EFAULT},
		"PROT_NONE":      {word(none, 0), unix.EFAULT},
		"truncated":      {word(page, 4096), unix.EFAULT}, // P-K6: to touch it is SIGBUS
	}
}

func TestAnAddressThatIsNoWordIsAnError(t *testing.T) { // T05
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	good := word(mem, 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var sliced error
	for name, bad := range badWords(t) {
		_, wake := Wake(bad.w, 1)
		_, from := Requeue(bad.w, 0, 1, good, 1)
		_, to := Requeue(good, 0, 1, bad.w, 1)
		_, limited := new(Sleeper).SleepFor(bad.w, 0, 0)
		withWaitv(false, func() { sliced = WaitContext(ctx, bad.w, 0) })
		for call, err := range map[string]error{
			"Wait": Wait(bad.w, 0), "WaitContext": WaitContext(ctx, bad.w, 0), "Wake": wake,
			"Requeue from": from, "Requeue to": to, "CheckWritable": CheckWritable(bad.w),
			"WaitContext without futex_waitv": sliced, "SleepFor": limited, "Check": Check(bad.w),
		} {
			if !errors.Is(err, bad.want) {
				t.Errorf("%s of a word that is %s: %v, want %v", call, name, err, bad.want)
			}
		}
	}
}

func TestASleeperWhoseWordIsTruncatedCanStillBeCancelled(t *testing.T) { // T05
	proctest.Watchdog(t, hang, nil)
	f, mem := proctest.Memfd(t, 8192)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- WaitContext(ctx, word(mem, 4096), 0) }()
	proctest.AwaitSleepers(t, os.Getpid(), 1)
	if err := f.Truncate(4096); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; err != context.Canceled && !errors.Is(err, unix.EFAULT) {
		t.Errorf("WaitContext: %v", err)
	}
}

// storm sends SIGURG to every thread of this process, about 10,000 a second, and
// profiles, until the function that it returns is called.
func storm(t *testing.T) (calm func()) {
	if err := pprof.StartCPUProfile(io.Discard); err != nil {
		t.Logf("no profile: %v", err)
	}
	stop, stopped := make(chan bool), make(chan int)
	go func() {
		sent := 0
		defer func() { stopped <- sent }()
		for {
			tasks, _ := filepath.Glob("/proc/self/task/*")
			for _, task := range tasks {
				select {
				case <-stop:
					return
				default:
				}
				tid, _ := strconv.Atoi(filepath.Base(task))
				_ = unix.Tgkill(os.Getpid(), tid, unix.SIGURG)
				sent++
				_ = unix.Nanosleep(&unix.Timespec{Nsec: 20_000}, nil) // time.Sleep is coarser
			}
		}
	}()
	return func() {
		close(stop)
		t.Logf("%d signals sent", <-stopped)
		pprof.StopCPUProfile()
	}
}

func TestSignalsEndNoWait(t *testing.T) { // T04, P-G6
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	w := word(mem, 0)
	woken := sleepHere(t, w, 4)
	calm := storm(t)
	const d = 300 * time.Millisecond
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	err := WaitContext(ctx, word(mem, 4), 0)
	took := time.Since(start)
	calm()
	if err != context.DeadlineExceeded || took < d || proctest.TooLate(took-d) {
		t.Errorf("a wait of %v ended after %v with %v", d, took, err)
	}
	t.Logf("a wait of %v ended after %v", d, took)
	expectWoken(t, woken, 0)
	expectWake(t, w, 10, 4)
	expectWoken(t, woken, 4)
}

func TestRequeueMovesAsManyAsItSays(t *testing.T) {
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	for _, c := range []struct{ sleepers, wake, move, woken, moved int }{
		{4, 1, 2, 1, 2},
		{3, 0, 2, 0, 2},
		{3, 2, 0, 2, 0},
		{2, 5, 5, 2, 0},
		{3, 1, math.MaxInt, 1, 2},
		{2, -1, -1, 0, 0},
	} {
		from, to := word(mem, 0), word(mem, 64)
		woken := sleepHere(t, from, c.sleepers)
		affected, err := Requeue(from, 0, c.wake, to, c.move)
		if affected != c.woken+c.moved || err != nil {
			t.Fatalf("Requeue(wake %d, move %d) of %d = %d, %v", c.wake, c.move, c.sleepers, affected, err)
		}
		expectWake(t, to, 100, c.moved)
		expectWake(t, from, 100, c.sleepers-c.woken-c.moved)
		expectWoken(t, woken, c.sleepers)
	}
}

func TestRequeueDoesNothingOnceTheWordHasChanged(t *testing.T) {
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	from, to := word(mem, 0), word(mem, 64)
	woken := sleepHere(t, from, 2)
	if n, err := Requeue(from, 1, 1, to, 1); n != 0 || !errors.Is(err, ErrChanged) {
		t.Errorf("Requeue = %d, %v", n, err)
	}
	expectWake(t, to, 100, 0)
	expectWake(t, from, 100, 2)
	expectWoken(t, woken, 2)
}
