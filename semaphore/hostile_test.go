// What holds for a Semaphore in the wrong hands, or in the wrong place:
//   - bytes that are no semaphore crash and hang nobody (T81);
//   - wakes that nobody meant make no permits (T08);
//   - whoever got the permit may unmap the memory at once (T37, P-S1, INV-S3);
//   - read-only memory is an error, not a fault (T57, T66); a wrong address panics.
package semaphore

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

func TestWhoGotThePermitMayUnmapTheMemory(t *testing.T) { // T37, P-S1, INV-S3
	proctest.Watchdog(t, hang, nil)
	f, _ := proctest.Memfd(t, 4096)
	size := os.Getpagesize()
	for i := range 2000 {
		mem, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		s := sem(mem)
		if i%2 == 0 {
			s.data.Store(oneWaiter) // makes Release call the kernel
		} else {
			s.data.Store(0)
		}
		done := make(chan error)
		go func() { done <- s.Release() }()
		for !s.TryAcquire() {
			if runtime.GOMAXPROCS(0) == 1 {
				runtime.Gosched() // else Release has its turn at the next preemption
			}
		}
		// To touch it from here on is a fault that nothing survives. (Nothing is
		// unmapped while Release may still be inside: others' memory could come there.)
		if err := unix.Mprotect(mem, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := unix.Munmap(mem); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhoGotThePermitMayTakeTheMemoryAway(t *testing.T) { // T37, P-S1, INV-S3, by marks
	f, _, s, _ := shared(t, 0, "taker", 0)
	s.data.Store(oneWaiter) // makes Release call the kernel
	p := proctest.Start(t, "giver", proctest.Files(f), proctest.Mark("E-S4 given not woken:stop"))
	p.Expect("here")
	p.Send("give")
	p.AwaitStop()
	take(t, s)
	if err := f.Truncate(0); err != nil { // from here on to touch it is SIGBUS
		t.Fatal(err)
	}
	p.Cont()
	p.Expect("gave")
	if err := f.Truncate(4096); err != nil {
		t.Fatal(err)
	}
}

func TestHostileBytesCrashNobody(t *testing.T) { // T81
	s := fresh(t, 0)
	words := []uint64{
		math.MaxUint64, math.MaxUint32, math.MaxUint32 << 32, MaxValue, MaxValue + 1,
		1 << 63, 1<<32 + MaxValue + 1, (1<<32-1)<<32 + 1,
	}
	for range 100 {
		words = append(words, rand.Uint64())
	}
	for _, d := range words {
		s.data.Store(d)
		s.private.Store(uint32(d))
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		err := s.Acquire(ctx)
		cancel()
		if (err == nil) != (uint32(d) > 0) {
			t.Errorf("Acquire of %#x: %v", d, err)
		}
		s.data.Store(d)
		if took := s.TryAcquire(); took != (uint32(d) > 0) {
			t.Errorf("TryAcquire of %#x: %v", d, took)
		}
		s.data.Store(d)
		err = s.Release()
		if errors.Is(err, ErrOverflow) != (uint32(d) >= MaxValue) {
			t.Errorf("Release of %#x: %v", d, err)
		}
		if uint32(d) >= MaxValue && s.data.Load() != d {
			t.Errorf("Release of %#x changed it to %#x", d, s.data.Load())
		}
	}
}

func TestAWaiterOutlivesAHostileChangeOfTheCount(t *testing.T) { // T81
	s := fresh(t, 0)
	for _, d := range []uint64{0, math.MaxUint32 << 32} {
		// Cancelled over it, it must not take away from the value's half.
		ctx, cancel := context.WithCancel(context.Background())
		_, failed := queue(t, ctx, s, 1)
		s.data.Store(d)
		cancel()
		if err := <-failed; err != context.Canceled {
			t.Errorf("%v", err)
		}
		if now := s.data.Load(); uint32(now) != 0 || d == 0 && now != 0 {
			t.Errorf("a cancelled waiter made %#x of %#x", now, d)
		}
		// With its count wiped out a release does not wake it; the look does.
		s.data.Store(0)
		got, _ := queue(t, context.Background(), s, 1)
		s.data.Store(0)
		start := time.Now()
		give(t, s)
		<-got
		proctest.Within(t, "a waiter whose count was wiped out", start)
		s.data.Store(0)
	}
	// The count of waiters wraps: the value must not notice.
	s.data.Store(math.MaxUint32 << 32)
	got := make(chan error)
	go func() { got <- s.Acquire(context.Background()) }()
	proctest.AwaitSleepers(t, os.Getpid(), 1)
	expectValue(t, s, 0)
	give(t, s)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	expectValue(t, s, 0)
}

func TestAStormOfWakesMakesNoPermits(t *testing.T) { // T08
	s := fresh(t, 0)
	got, _ := queue(t, context.Background(), s, 2)
	for range 1000 {
		chaos(s)
		if len(got) > 0 {
			t.Fatal("a permit from nowhere")
		}
	}
	for range 2 {
		give(t, s)
		<-got
	}
	expectValue(t, s, 0)
}

func TestReadOnlyMemoryIsAnErrorNotAFault(t *testing.T) { // T57, T66
	f, mem := proctest.Memfd(t, 4096)
	sem(mem).Init(5)
	watch(t, sem(mem))
	s := sem(readOnly(t, f))
	if err := s.Acquire(context.Background()); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Acquire: %v", err)
	}
	if err := s.Release(); !errors.Is(err, ErrReadOnly) {
		t.Errorf("Release: %v", err)
	}
	for name, call := range map[string]func(){"TryAcquire": func() { s.TryAcquire() }, "Init": func() { s.Init(1) }} {
		if msg := panicOf(call); msg != ErrReadOnly.Error() {
			t.Errorf("%s: panic %q", name, msg)
		}
	}
	expectValue(t, s, 5)
}

func TestAMisplacedSemaphorePanics(t *testing.T) { // P-G8
	if runtime.GOARCH == "arm64" {
		t.Skip("the CPU refuses it first, and Go ends the program")
	}
	_, mem := proctest.Memfd(t, 4096)
	proctest.Watchdog(t, hang, nil)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if msg := panicOf(func() { sem(mem[4:]).Acquire(ctx) }); !strings.Contains(msg, "multiple of 8") {
		t.Errorf("Acquire at an odd place: panic %q", msg)
	}
}
