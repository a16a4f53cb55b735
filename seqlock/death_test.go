// What holds when a writer dies or stands still in the middle of a write:
//   - Load of a Seqlock returns ErrWriterDead, or the value if it is whole, in
//     bounded time; it waits for a writer that is only stopped (T53, T54, P-Q1, P-K8);
//   - a DoubleBuffer's Load returns the last whole version at once (T53, T54);
//   - the next Store repairs, an Update of a torn value is refused without f;
//   - a death outside of the write goes unnoticed.
//
// Deaths are random ones in a copy of a megabyte, and with -tags marks the exact
// points.
package seqlock

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/inherit"
	"interlock/internal/proctest"
	"interlock/internal/spin"
	"interlock/mutex"
)

// A writer writes one version per line received.
func writer[S, T any, P payload[T]](c *proctest.Child) {
	s := any(lay[S](c.Memory(0))).(store[T])
	c.Say("here")
	for n := uint64(1); c.Recv() != ""; n++ {
		v := new(T)
		P(v).fill(n)
		c.Check(s.Store(context.Background(), v))
		c.Say("stored")
	}
}

// A storm stores without a pause, until a line is received or for ever.
func storm[S, T any, P payload[T]](c *proctest.Child) {
	s := any(lay[S](c.Memory(0))).(store[T])
	v := new(T)
	P(v).fill(uint64(c.Int(0)))
	var over atomic.Bool
	go func() { c.Recv(); over.Store(true) }()
	c.Check(s.Store(context.Background(), v)) // the first takes long: a guardian starts
	c.Say("writes")
	for !over.Load() {
		c.Check(s.Store(context.Background(), v))
	}
	c.Say("over")
}

func init() {
	proctest.Register("writer Seqlock", writer[Seqlock[b4k], b4k])
	proctest.Register("writer DoubleBuffer", writer[DoubleBuffer[b4k], b4k])
	proctest.Register("storm Seqlock", storm[Seqlock[b1m], b1m])
	proctest.Register("storm DoubleBuffer", storm[DoubleBuffer[b1m], b1m])
	// A lock holder that writes nothing.
	proctest.Register("holder", func(c *proctest.Child) {
		s := lay[Seqlock[b4k]](c.Memory(0))
		s.mu.Lock()
		c.Say("holds")
		c.Recv()
	})
}

func start(t *testing.T, f *os.File, kind, says string, opts ...proctest.Option) *proctest.Proc {
	t.Helper()
	p := proctest.Start(t, kind, append(opts, proctest.Files(f))...)
	p.Expect(says)
	return p
}

// torn proves that s holds a torn value of a dead writer, and repairs it.
func torn[T any, P payload[T]](t *testing.T, s *Seqlock[T]) {
	t.Helper()
	v := new(T)
	begin := time.Now()
	if err := s.Load(context.Background(), v); !errors.Is(err, ErrWriterDead) {
		t.Errorf("Load: %v", err)
	}
	proctest.Within(t, "Load to notice", begin)
	if s.TryLoad(v) {
		t.Error("TryLoad accepts a torn value")
	}
	called := false
	for range 2 { // refusing it once must not make it whole
		if err := s.Update(context.Background(), func(*T) { called = true }); !errors.Is(err, ErrWriterDead) || called {
			t.Errorf("Update: %v, and f was called: %v", err, called)
		}
	}
	if err := s.Load(context.Background(), v); !errors.Is(err, ErrWriterDead) {
		t.Errorf("Load after Update: %v", err)
	}
	put[T, P](t, s, 99)
	expect[T, P](t, s, 99)
	if err := s.Update(context.Background(), func(v *T) { P(v).fill(100) }); err != nil {
		t.Errorf("Update after the repair: %v", err)
	}
	expect[T, P](t, s, 100)
}

func TestAWriterKilledInItsWriteTearsASeqlock(t *testing.T) { // T53, P-Q1, by marks
	for _, where := range []string{"E-Q1 odd", "E-Q2 written, still odd"} {
		f, _, s := share[Seqlock[b4k], b4k](t)
		w := start(t, f, "writer Seqlock", "here", proctest.Mark(where))
		w.Send("store")
		w.WaitKilled(unix.SIGKILL)
		if s.seq.Load()%2 == 0 {
			t.Fatalf("%s: seq is %d", where, s.seq.Load())
		}
		torn[b4k](t, s)
	}
}

func TestAWriterKilledInItsWriteLeavesADoubleBufferWhole(t *testing.T) { // T53, by marks
	for _, where := range []string{"E-Q1 odd", "E-Q2 written, still odd"} {
		f, _, b := share[DoubleBuffer[b4k], b4k](t)
		put[b4k](t, b, 41)
		w := start(t, f, "writer DoubleBuffer", "here", proctest.Mark(where))
		w.Send("store")
		w.WaitKilled(unix.SIGKILL)
		if b.seq.Load()%2 == 0 {
			t.Fatalf("%s: seq is %d", where, b.seq.Load())
		}
		expect[b4k](t, b, 41) // that write never happened
		if err := b.Update(context.Background(), func(v *b4k) {
			if n, whole := v.read(); n != 41 || !whole {
				t.Errorf("Update sees version %d, whole %v", n, whole)
			}
			v.fill(42)
		}); err != nil {
			t.Errorf("Update: %v", err)
		}
		expect[b4k](t, b, 42)
		put[b4k](t, b, 43)
		expect[b4k](t, b, 43)
	}
}

func TestASeqlockAfterKillsAtRandom(t *testing.T) { // T53, P-Q1
	f, _, s := share[Seqlock[b1m], b1m](t)
	var rounds, dead, whole int
	var worst time.Duration
	v := new(b1m)
	for ; rounds < 40 || dead == 0; rounds++ {
		round := rounds
		w := start(t, f, "storm Seqlock", "writes", proctest.Args("7"))
		spin.Pause(rand.Uint32N(50_000))
		if round%2 == 1 {
			seeWrite(&s.seq)
		}
		w.Kill()
		begin := time.Now()
		err := s.Load(context.Background(), v)
		worst = max(worst, time.Since(begin))
		n, ok := v.read()
		switch {
		case errors.Is(err, ErrWriterDead):
			dead++
			if s.seq.Load()%2 == 0 {
				t.Errorf("ErrWriterDead with seq %d", s.seq.Load())
			}
		case err == nil && ok && n == 7:
			whole++
		default:
			t.Fatalf("round %d: version %d, whole %v, %v", round, n, ok, err)
		}
		put[b1m](t, s, uint64(round+1))
		expect[b1m](t, s, uint64(round+1))
	}
	t.Logf("%d kills: %d torn, %d whole; slowest Load %v (promised: %v)", rounds, dead, whole, worst, proctest.Promise)
	if proctest.TooLate(worst) {
		t.Errorf("a Load took %v", worst)
	}
}

// seeWrite returns when a value is just being written, or soon.
func seeWrite(seq *atomic.Uint64) {
	for patience := time.Now().Add(20 * time.Millisecond); seq.Load()%2 == 0 && time.Now().Before(patience); {
	}
}

func TestADoubleBufferAfterKillsAtRandom(t *testing.T) { // T53
	f, _, b := share[DoubleBuffer[b1m], b1m](t)
	rounds, odd := 0, 0
	v := new(b1m)
	for ; rounds < 40 || odd == 0; rounds++ {
		round := rounds
		w := start(t, f, "storm DoubleBuffer", "writes", proctest.Args("7"))
		spin.Pause(rand.Uint32N(50_000))
		if round%2 == 1 {
			seeWrite(&b.seq)
		}
		w.Kill()
		if b.seq.Load()%2 == 1 {
			odd++
		}
		b.Load(v)
		if n, ok := v.read(); !ok || n != 7 {
			t.Fatalf("round %d: version %d, whole %v", round, n, ok)
		}
		put[b1m](t, b, uint64(round+1))
		expect[b1m](t, b, uint64(round+1))
	}
	if err := b.mu.LockContext(context.Background()); err != nil {
		t.Fatalf("the writers' mutex stayed an orphan: %v", err)
	}
	b.mu.Unlock()
	t.Logf("%d kills, %d of them in a write", rounds, odd)
}

// The dead writer's other threads may still be in the copy when its lock is already
// given up: the successor must not begin before they stand still.
func TestTheSuccessorOfAKilledWriterIsNotOverwritten(t *testing.T) { // T53
	f, _, s := share[Seqlock[b1m], b1m](t)
	v := new(b1m)
	for round := range 40 {
		w := start(t, f, "storm Seqlock", "writes", proctest.Args("7"))
		w.Signal(unix.SIGKILL) // and at once, before it is reaped:
		put[b1m](t, s, uint64(1000+round))
		for range 3 {
			if err := s.Load(context.Background(), v); err != nil {
				t.Fatal(err)
			}
			if n, whole := v.read(); n != uint64(1000+round) || !whole {
				t.Fatalf("round %d: version %d, whole %v", round, n, whole)
			}
		}
		w.WaitKilled(unix.SIGKILL)
		expect[b1m](t, s, uint64(1000+round))
	}
}

func TestALoadWaitingForAWriterNoticesItsDeath(t *testing.T) { // T53, T54, P-K8
	f, _, s := share[Seqlock[b1m], b1m](t)
	w := stoppedInWrite(t, f, "storm Seqlock", &s.seq)
	ended := make(chan error)
	go func() { ended <- s.Load(context.Background(), new(b1m)) }()
	select {
	case err := <-ended:
		t.Fatalf("Load did not wait for a stopped writer: %v", err)
	case <-time.After(2 * proctest.Promise): // to be declared dead would be the mistake
	}
	w.Kill()
	begin := time.Now()
	if err := <-ended; !errors.Is(err, ErrWriterDead) {
		t.Errorf("Load: %v", err)
	}
	proctest.Within(t, "a waiting Load, after the writer was killed", begin)
}

// Between seeing an odd sequence and asking for the lock's owner, the writer ends.
func TestAWriterThatEndsWhileItIsJudgedIsNotDead(t *testing.T) { // T53, INV-Q2
	_, _, s := share[Seqlock[b4k], b4k](t)
	put[b4k](t, s, 1)
	defer func(was func(any) bool) { inherit.WriterGone = was }(inherit.WriterGone)
	real, asked := inherit.WriterGone, false
	inherit.WriterGone = func(m any) bool {
		asked = true
		s.seq.Add(1)
		return real(m)
	}
	s.seq.Add(1) // nobody holds the lock: as if it had just been given up
	expect[b4k](t, s, 1)
	if !asked {
		t.Error("nobody asked for the writer: this proves nothing")
	}
}

// stoppedInWrite starts a storm and stops it in a write.
func stoppedInWrite(t *testing.T, f *os.File, kind string, seq *atomic.Uint64) *proctest.Proc {
	t.Helper()
	w := start(t, f, kind, "writes", proctest.Args("7"))
	w.Stop()
	for seq.Load()%2 == 0 {
		seen := seq.Load()
		w.Cont()
		for seq.Load() == seen {
			time.Sleep(10 * time.Microsecond) // where there is one CPU, it needs that
		}
		spin.Pause(rand.Uint32N(20_000))
		w.Stop()
	}
	return w
}

func TestAStoppedWriterHoldsUpASeqlockUntilTheDeadline(t *testing.T) { // T54
	f, _, s := share[Seqlock[b1m], b1m](t)
	w := stoppedInWrite(t, f, "storm Seqlock", &s.seq)
	v := new(b1m)
	for name, call := range map[string]func(ctx context.Context) error{
		"Load":   func(ctx context.Context) error { return s.Load(ctx, v) },
		"Store":  func(ctx context.Context) error { return s.Store(ctx, v) },
		"Update": func(ctx context.Context) error { return s.Update(ctx, func(*b1m) { t.Error("f is called") }) },
	} {
		const d = 50 * time.Millisecond
		before := s.seq.Load()
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), d)
		err := call(ctx)
		took := time.Since(begin)
		cancel()
		t.Logf("%s with a deadline of %v: %v, after %v", name, d, err, took)
		if err != context.DeadlineExceeded || took < d || proctest.TooLate(took-d) {
			t.Errorf("%s: %v after %v", name, err, took)
		}
		if s.seq.Load() != before {
			t.Errorf("%s moved the sequence", name)
		}
	}
	if s.TryLoad(v) {
		t.Error("TryLoad accepts a torn value")
	}
	w.Cont()
	w.Send("that is enough") // a writer without pauses can starve a reader of 1 MiB
	w.Expect("over")
	expect[b1m](t, s, 7)
}

func TestAStoppedWriterHoldsUpNoLoadOfADoubleBuffer(t *testing.T) { // T54
	f, _, b := share[DoubleBuffer[b1m], b1m](t)
	put[b1m](t, b, 7)
	w := stoppedInWrite(t, f, "storm DoubleBuffer", &b.seq)
	begin := time.Now()
	for range 10 {
		expect[b1m](t, b, 7)
	}
	proctest.Within(t, "10 loads of 1 MiB beside a stopped writer", begin)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := b.Store(ctx, new(b1m)); err != context.DeadlineExceeded {
		t.Errorf("Store: %v", err)
	}
	expect[b1m](t, b, 7)
	w.Kill()
	put[b1m](t, b, 8)
	expect[b1m](t, b, 8)
}

func TestADeathOutsideOfTheWriteGoesUnnoticed(t *testing.T) { // T53
	f, _, s := share[Seqlock[b4k], b4k](t)
	put[b4k](t, s, 5)
	for round := range 3 {
		start(t, f, "holder", "holds").Kill() // with the lock, before E-Q1
		expect[b4k](t, s, 5)
		switch round {
		case 0:
			if err := s.Update(context.Background(), func(v *b4k) { v.fill(5) }); err != nil {
				t.Errorf("Update: %v", err)
			}
		case 1:
			put[b4k](t, s, 5)
		case 2: // a failed Update leaves all as it is, for the next
			func() {
				defer func() { _ = recover() }()
				_ = s.Update(context.Background(), func(v *b4k) { v.fill(6); panic("no") })
			}()
			expect[b4k](t, s, 5)
			put[b4k](t, s, 5)
		}
		expect[b4k](t, s, 5)
	}
	if err := s.mu.LockContext(context.Background()); err != nil {
		t.Fatalf("the writers' mutex stayed an orphan: %v", err)
	}
	s.mu.Unlock()
}

func TestARegisteredRepairIsNotAskedForASeqlock(t *testing.T) { // tables of locks register for all memory
	f, mem, s := share[Seqlock[b4k], b4k](t)
	mutex.OnOwnerDeath(mem, func(*mutex.Mutex, int) error { t.Error("the repair ran"); return mutex.ErrNotRecoverable })
	start(t, f, "holder", "holds").Kill()
	put[b4k](t, s, 3)
	expect[b4k](t, s, 3)
}
