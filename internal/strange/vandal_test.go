// What holds while a process scribbles over every word of a segment at full speed (T80,
// T81, T83):
//   - no honest process crashes, whatever it calls there;
//   - each call with a context ends when that does, and each other one soon;
//   - an error or a panic is one that the documentation has.
package strange

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"interlock/condvar"
	"interlock/internal/proctest"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/seqlock"
	"interlock/shm"
)

func TestMain(m *testing.M) { proctest.Main(m) }

type words [16]uint64

// everything is one of each, and what the test needs besides.
type everything struct {
	Mu   mutex.Mutex
	Sem  semaphore.Semaphore
	Cond condvar.Cond
	Seq  seqlock.Seqlock[words]
	Twin seqlock.DoubleBuffer[words]
}

const atTargets = 4096 // a page of its own, which the vandal spares

// targets are the numbers that mean something: of the honest, and of the dead.
type targets struct {
	stop atomic.Uint32
	n    [4]atomic.Uint32
}

func lay(f *os.File) (*everything, *targets, []uint64, error) {
	s, err := shm.FromFile(f)
	if err != nil {
		return nil, nil, nil, err
	}
	e, err1 := shm.At[everything](s.Bytes(), 0)
	g, err2 := shm.At[targets](s.Bytes(), atTargets)
	w, err3 := shm.Slice[uint64](s.Bytes(), 0, 512)
	return e, g, w, errors.Join(err1, err2, err3)
}

func init() {
	proctest.Register("vandal", func(c *proctest.Child) {
		_, g, all, err := lay(c.File(0))
		c.Check(err)
		c.Say("at work")
		for r := rand.New(rand.NewPCG(uint64(c.Int(0)), 3)); g.stop.Load() == 0; {
			one := uint64(g.n[r.IntN(len(g.n))].Load())
			value := []uint64{0, 0, 1, r.Uint64(), one, one | 3<<30, one<<32 | one, math.MaxUint64, 1<<30 | 1<<31,
				math.MaxInt32, math.MaxInt32 - 1, math.MaxUint32 << 32, 1 << 63}[r.IntN(13)]
			all[r.IntN(len(all))] = value
			if r.IntN(8) == 0 {
				clear(all) // or nothing would ever go well
			}
		}
	})
	proctest.Register("honest", func(c *proctest.Child) {
		e, g, _, err := lay(c.File(0))
		c.Check(err)
		h := &honest{e: e, g: g, c: c, worst: map[string]time.Duration{}, calls: map[string]int{}}
		var all sync.WaitGroup
		for name, call := range h.all() {
			all.Add(1)
			go func() {
				defer all.Done()
				for g.stop.Load() == 0 {
					h.once(name, call)
				}
			}()
		}
		all.Wait()
		c.Sayf("%d kinds of calls: %v; the longest: %v", len(h.calls), h.calls, h.worst)
	})
}

// An honest process does all that one can do, in a goroutine for each.
type honest struct {
	e *everything
	g *targets
	c *proctest.Child

	mu    sync.Mutex
	worst map[string]time.Duration
	calls map[string]int
}

const limit = 5 * time.Millisecond

func (h *honest) all() map[string]func(ctx context.Context) error {
	e := h.e
	var v words
	return map[string]func(ctx context.Context) error{
		"LockContext": func(ctx context.Context) error {
			err := e.Mu.LockContext(ctx)
			if err == nil {
				e.Mu.Unlock()
			}
			return err
		},
		"WaitContext": func(ctx context.Context) error {
			if err := e.Mu.LockContext(ctx); err != nil {
				return err
			}
			err := e.Cond.WaitContext(ctx, &e.Mu) // and then has to have the mutex again
			e.Mu.Unlock()
			return err
		},
		"TryLock": func(context.Context) error {
			if e.Mu.TryLock() {
				e.Mu.Unlock()
			}
			_, _ = e.Mu.Owner()
			return nil
		},
		"Acquire": func(ctx context.Context) error { return e.Sem.Acquire(ctx) },
		"Release": func(context.Context) error {
			_, _ = e.Sem.TryAcquire(), e.Sem.Value()
			return e.Sem.Release()
		},
		"Signal": func(context.Context) error { e.Cond.Signal(); e.Cond.Broadcast(); return nil },
		"Seqlock.Load": func(ctx context.Context) error {
			var mine words
			e.Seq.TryLoad(&mine)
			return e.Seq.Load(ctx, &mine)
		},
		"Seqlock.Store":  func(ctx context.Context) error { return e.Seq.Store(ctx, &v) },
		"Seqlock.Update": func(ctx context.Context) error { return e.Seq.Update(ctx, func(*words) {}) },
		"Twin.Load": func(context.Context) error {
			var mine words
			e.Twin.Load(&mine)
			return nil
		},
		"Twin.Store":  func(ctx context.Context) error { return e.Twin.Store(ctx, &v) },
		"Twin.Update": func(ctx context.Context) error { return e.Twin.Update(ctx, func(*words) {}) },
	}
}

// once makes one call, which may fail, or panic, as documented.
func (h *honest) once(name string, call func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	start := time.Now()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			h.check(name, r)
		default:
			says := fmt.Sprint(r)
			if !strings.HasPrefix(says, "mutex: unlock of") && !strings.HasPrefix(says, "condvar: Wait with") {
				h.c.Fatalf("%s panics: %v", name, r)
			}
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.calls[name]++
		h.worst[name] = max(h.worst[name], time.Since(start))
		if proctest.TooLate(h.worst[name]) {
			h.c.Fatalf("%s took %v", name, h.worst[name])
		}
	}()
	h.check(name, call(ctx))
}

func (h *honest) check(name string, err error) {
	documented := []error{nil, context.DeadlineExceeded, mutex.ErrOwnerDead, mutex.ErrNotRecoverable, mutex.ErrPIDNamespace,
		mutex.ErrNotShared, semaphore.ErrOverflow, seqlock.ErrWriterDead}
	if !slices.ContainsFunc(documented, func(is error) bool { return errors.Is(err, is) }) {
		h.c.Fatalf("%s: %v", name, err)
	}
}

func TestAVandalInASegmentOfEverything(t *testing.T) { // T80, T81, T83
	f, mem := proctest.Memfd(t, 2*atTargets)
	g, err := shm.At[targets](mem, atTargets)
	if err != nil {
		t.Fatal(err)
	}
	d := proctest.Lasts(t, 2*time.Second, time.Minute)
	proctest.Watchdog(t, d+time.Minute, nil)
	dead := proctest.Start(t, "vandal", proctest.Files(f), proctest.Args("0"))
	dead.Kill()
	seed := os.Getpid()
	t.Logf("seed %d", seed)
	vandal := proctest.Start(t, "vandal", proctest.Files(f), proctest.Args(fmt.Sprint(seed)))
	var crowd []*proctest.Proc
	for range 2 {
		crowd = append(crowd, proctest.Start(t, "honest", proctest.Files(f)))
	}
	for i, pid := range []int{1, dead.Pid, crowd[0].Pid, crowd[1].Pid} {
		g.n[i].Store(uint32(pid))
	}
	vandal.Expect("at work")
	time.Sleep(d) // the longer the likelier
	g.stop.Store(1)
	vandal.WaitExit(0)
	clear(mem[:atTargets])
	for _, p := range crowd {
		t.Log(p.Line())
		p.WaitExit(0)
	}
}
