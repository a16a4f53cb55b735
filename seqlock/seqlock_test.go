// What holds for Seqlock and DoubleBuffer, whoever uses them:
//   - each finished version can be loaded, odd or even (P-Q5), also where the
//     sequence wraps (T55, P-Q4);
//   - f in Update works on a copy: its panic or Goexit changes nothing and unlocks;
//   - a load writes nothing and needs no write permission (T57);
//   - a store into read-only memory is an error (T66), a T with pointers a panic that
//     names the field;
//   - a context that is done is an error and nothing else;
//   - loads allocate nothing.
package seqlock

import (
	"bytes"
	"context"
	"errors"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

// both runs a test for either type over b4k.
func both(t *testing.T, f func(t *testing.T, s store[b4k], mem []byte)) {
	t.Run("Seqlock", func(t *testing.T) {
		_, mem, s := share[Seqlock[b4k], b4k](t)
		f(t, s, mem)
	})
	t.Run("DoubleBuffer", func(t *testing.T) {
		_, mem, b := share[DoubleBuffer[b4k], b4k](t)
		f(t, b, mem)
	})
}

func TestZeroBytesHoldTheZeroValue(t *testing.T) {
	_, mem := proctest.Memfd(t, 64<<10)
	v := b4k{Tail: [5]byte{1}}
	if err := lay[Seqlock[b4k]](mem).Load(context.Background(), &v); err != nil || v != (b4k{}) {
		t.Errorf("Seqlock: %v, zero %v", err, v == b4k{})
	}
	v.Tail[0] = 1
	lay[DoubleBuffer[b4k]](mem[32<<10:]).Load(&v)
	if v != (b4k{}) {
		t.Error("DoubleBuffer: not zero")
	}
}

func TestEachVersionCanBeLoaded(t *testing.T) { // P-Q5
	both(t, func(t *testing.T, s store[b4k], _ []byte) {
		for n := range uint64(20) {
			put[b4k](t, s, n)
			expect[b4k](t, s, n)
			expect[b4k](t, s, n)
		}
	})
}

func TestTheSequenceMayWrap(t *testing.T) { // T55, P-Q4
	_, _, s := share[Seqlock[b4k], b4k](t)
	_, _, b := share[DoubleBuffer[b4k], b4k](t)
	for _, seq := range []uint64{math.MaxUint64 - 5, math.MaxUint64 - 3, math.MaxUint64 - 1, math.MaxUint32 - 1} {
		s.seq.Store(seq)
		b.seq.Store(seq)
		b.v[0], b.v[1] = b.v[b.seq.Load()/2%2], b.v[b.seq.Load()/2%2]
		for n := range uint64(8) {
			for _, x := range []store[b4k]{s, b} {
				put[b4k](t, x, n)
				expect[b4k](t, x, n)
			}
		}
		if s.seq.Load() != seq+16 || b.seq.Load() != seq+16 {
			t.Errorf("from %#x to %#x and %#x", seq, s.seq.Load(), b.seq.Load())
		}
	}
}

func TestUpdateWorksOnACopy(t *testing.T) {
	both(t, func(t *testing.T, s store[b4k], _ []byte) {
		ctx := context.Background()
		put[b4k](t, s, 1)
		if err := s.Update(ctx, func(v *b4k) {
			v.fill(2)
			expect[b4k](t, s, 1) // not yet
		}); err != nil {
			t.Fatal(err)
		}
		expect[b4k](t, s, 2)
	})
}

func TestAnUpdateThatFailsChangesNothingAndUnlocks(t *testing.T) {
	both(t, func(t *testing.T, s store[b4k], mem []byte) {
		put[b4k](t, s, 1)
		value := bytes.Clone(mem[64:])
		for name, end := range map[string]func(){"panic": func() { panic("no") }, "Goexit": runtime.Goexit} {
			over := make(chan any)
			go func() {
				defer func() { over <- recover() }()
				_ = s.Update(context.Background(), func(v *b4k) { v.fill(9); end() })
			}()
			if r := <-over; (r != nil) != (name == "panic") {
				t.Errorf("%s: recovered %v", name, r)
			}
			if !bytes.Equal(value, mem[64:]) {
				t.Errorf("%s: the memory changed", name)
			}
			expect[b4k](t, s, 1)
		}
		put[b4k](t, s, 2) // hangs if it is locked
		expect[b4k](t, s, 2)
	})
}

func TestADoneContextChangesNothing(t *testing.T) {
	both(t, func(t *testing.T, s store[b4k], _ []byte) {
		put[b4k](t, s, 1)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Store(ctx, new(b4k)); err != context.Canceled {
			t.Errorf("Store: %v", err)
		}
		if err := s.Update(ctx, func(*b4k) { t.Error("f is called") }); err != context.Canceled {
			t.Errorf("Update: %v", err)
		}
		expect[b4k](t, s, 1)
	})
}

func TestLoadsNeedNoWritePermissionAndWriteNothing(t *testing.T) { // T57
	for _, announced := range []bool{false, true} {
		f, mem, s := share[Seqlock[b4k], b4k](t)
		put[b4k](t, s, 3)
		g, gmem, b := share[DoubleBuffer[b4k], b4k](t)
		put[b4k](t, b, 4)
		before, gbefore := bytes.Clone(mem), bytes.Clone(gmem)
		ro := lay[Seqlock[b4k]](readOnly(t, f, len(mem), announced))
		rob := lay[DoubleBuffer[b4k]](readOnly(t, g, len(gmem), announced))
		for range 100 {
			expect[b4k](t, ro, 3) // a store would be a fault
			expect[b4k](t, rob, 4)
			if !ro.TryLoad(new(b4k)) {
				t.Error("TryLoad fails")
			}
		}
		// Nor when it has to wait, and to find out that the writer is dead.
		s.seq.Add(1)
		before[0]++
		if err := ro.Load(context.Background(), new(b4k)); !errors.Is(err, ErrWriterDead) {
			t.Errorf("Load of a torn value: %v", err)
		}
		if !bytes.Equal(before, mem) || !bytes.Equal(gbefore, gmem) {
			t.Error("a load has written")
		}
	}
}

func TestAStoreIntoReadOnlyMemoryIsAnError(t *testing.T) { // T66
	f, mem, s := share[Seqlock[b4k], b4k](t)
	g, gmem, b := share[DoubleBuffer[b4k], b4k](t)
	put[b4k](t, s, 3)
	for _, ro := range []store[b4k]{
		lay[Seqlock[b4k]](readOnly(t, f, len(mem), true)),
		lay[DoubleBuffer[b4k]](readOnly(t, g, len(gmem), true)),
	} {
		if err := ro.Store(context.Background(), new(b4k)); !errors.Is(err, ErrReadOnly) {
			t.Errorf("Store: %v", err)
		}
		err := ro.Update(context.Background(), func(*b4k) { t.Error("f is called") })
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("Update: %v", err)
		}
	}
	expect[b4k](t, s, 3)
	expect[b4k](t, b, 0)
}

// Memory of others that this process has only ever read, and mapped without telling.
func TestAStoreIntoUnannouncedReadOnlyMemoryIsAnError(t *testing.T) { // T66
	proctest.Watchdog(t, hang, nil)
	f, mem := proctest.Memfd(t, 8192)
	w := start(t, f, "writer Seqlock", "here")
	w.Send("store")
	w.Expect("stored")
	ro := lay[Seqlock[b4k]](readOnly(t, f, len(mem), false))
	if err := ro.Store(context.Background(), new(b4k)); !errors.Is(err, unix.EFAULT) {
		t.Errorf("Store: %v", err)
	}
	err := ro.Update(context.Background(), func(*b4k) { t.Error("f is called") })
	if !errors.Is(err, unix.EFAULT) {
		t.Errorf("Update: %v", err)
	}
	expect[b4k](t, ro, 1)
}

type pointed struct {
	Count uint64
	Inner struct{ Name *byte }
}

func TestATypeWithPointersPanicsNamingTheField(t *testing.T) { // P-G9
	s, b := new(Seqlock[pointed]), new(DoubleBuffer[pointed])
	ctx, v := context.Background(), new(pointed)
	for name, call := range map[string]func(){
		"Seqlock.Load":        func() { _ = s.Load(ctx, v) },
		"Seqlock.TryLoad":     func() { s.TryLoad(v) },
		"Seqlock.Store":       func() { _ = s.Store(ctx, v) },
		"Seqlock.Update":      func() { _ = s.Update(ctx, func(*pointed) {}) },
		"DoubleBuffer.Load":   func() { b.Load(v) },
		"DoubleBuffer.Store":  func() { _ = b.Store(ctx, v) },
		"DoubleBuffer.Update": func() { _ = b.Update(ctx, func(*pointed) {}) },
	} {
		func() {
			defer func() {
				msg, _ := recover().(string)
				if !strings.HasPrefix(msg, "seqlock: ") || !strings.Contains(msg, "Inner.Name") {
					t.Errorf("%s: panic %q", name, msg)
				}
			}()
			call()
		}()
	}
}

func TestLoadsAllocateNothing(t *testing.T) {
	_, _, s := share[Seqlock[b4k], b4k](t)
	_, _, b := share[DoubleBuffer[b4k], b4k](t)
	ctx, v := context.Background(), new(b4k)
	for name, call := range map[string]func(){
		"Seqlock.Load":       func() { _ = s.Load(ctx, v) },
		"Seqlock.TryLoad":    func() { s.TryLoad(v) },
		"Seqlock.Store":      func() { _ = s.Store(ctx, v) },
		"DoubleBuffer.Load":  func() { b.Load(v) },
		"DoubleBuffer.Store": func() { _ = b.Store(ctx, v) },
	} {
		if n := testing.AllocsPerRun(100, call); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func TestHostileBytesHangNobody(t *testing.T) { // T81
	_, mem, s := share[Seqlock[b4k], b4k](t)
	_, _, b := share[DoubleBuffer[b4k], b4k](t)
	ctx := context.Background()
	for _, seq := range []uint64{1, math.MaxUint64, 1 << 63, 0xdeadbeef} {
		s.seq.Store(seq)
		b.seq.Store(seq)
		v := new(b4k)
		if err := s.Load(ctx, v); seq%2 == 1 && !errors.Is(err, ErrWriterDead) || seq%2 == 0 && err != nil {
			t.Errorf("Load at %#x: %v", seq, err)
		}
		b.Load(v)
		for _, x := range []store[b4k]{s, b} {
			put[b4k](t, x, 1)
			expect[b4k](t, x, 1)
		}
	}
	// The lock's word held by somebody alive, the sequence odd for ever.
	s.seq.Store(1)
	mem[8], mem[9], mem[10], mem[11] = 1, 0, 0, 0 // TID 1
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if err := s.Load(short, new(b4k)); err != context.DeadlineExceeded {
		t.Errorf("Load: %v", err)
	}
	clear(mem[8:48])
}

func TestWhatIsPublishedThroughItIsNoRace(t *testing.T) { // T60: the race detector is the judge
	both(t, func(t *testing.T, s store[b4k], _ []byte) {
		const n = 100
		var published [n + 1]int
		var all sync.WaitGroup
		all.Add(2)
		go func() {
			defer all.Done()
			for i := uint64(1); i <= n; i++ {
				published[i] = int(i)
				put[b4k](t, s, i)
			}
		}()
		go func() {
			defer all.Done()
			v := new(b4k)
			for got := uint64(0); got < n; {
				if err := s.load(context.Background(), v); err != nil {
					t.Error(err)
					return
				}
				got, _ = v.read()
				if published[got] != int(got) {
					t.Errorf("version %d, and %d is published", got, published[got])
				}
			}
		}()
		all.Wait()
	})
}
