// Package vandal is a process that scribbles over primitives at full speed, and what an honest
// one may make of them: for the tests and the harness that let the two meet.
package vandal

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"

	"interlock/condvar"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/seqlock"
)

// Words are a value of the seqlock and the double buffer.
type Words [16]uint64

// Everything is one of each primitive.
type Everything struct {
	Mu   mutex.Mutex
	Sem  semaphore.Semaphore
	Cond condvar.Cond
	Seq  seqlock.Seqlock[Words]
	Twin seqlock.DoubleBuffer[Words]
}

// Numbers mean something as an owner: those of processes, honest or dead.
type Numbers [4]atomic.Uint32

// Scribble writes one word, or clears all, or nothing would ever go well.
func (n *Numbers) Scribble(r *rand.Rand, all []uint64) {
	all[r.IntN(len(all))] = n.value(r)
	if r.IntN(8) == 0 {
		clear(all)
	}
}

// Cover writes one value everywhere: for as long as nobody writes again, a sequence that is
// odd, or a count that is full, remains so.
func (n *Numbers) Cover(r *rand.Rand, all []uint64) {
	v := n.value(r)
	for i := range all {
		all[i] = v
	}
}

// value is one that hurts: nobody, somebody, somebody with the kernel's bits, a full count, an
// odd sequence.
func (n *Numbers) value(r *rand.Rand) uint64 {
	one := uint64(n[r.IntN(len(n))].Load())
	return []uint64{0, 0, 1, r.Uint64(), one, one | 3<<30, one<<32 | one, math.MaxUint64, 1<<30 | 1<<31,
		math.MaxInt32, math.MaxInt32 - 1, math.MaxUint32 << 32, 1 << 63}[r.IntN(13)]
}

// Call is something that an honest process does.
type Call struct {
	Name string
	Do   func(ctx context.Context) error
}

// Calls are all there are.
func (e *Everything) Calls() []Call {
	var v Words
	return []Call{
		{"LockContext", func(ctx context.Context) error {
			err := e.Mu.LockContext(ctx)
			if err == nil {
				e.Mu.Unlock()
			}
			return err
		}},
		{"WaitContext", func(ctx context.Context) error {
			if err := e.Mu.LockContext(ctx); err != nil {
				return err
			}
			err := e.Cond.WaitContext(ctx, &e.Mu) // and then has to have the mutex again
			e.Mu.Unlock()
			return err
		}},
		{"TryLock", func(context.Context) error {
			if e.Mu.TryLock() {
				e.Mu.Unlock()
			}
			_, _ = e.Mu.Owner()
			return nil
		}},
		{"Acquire", func(ctx context.Context) error { return e.Sem.Acquire(ctx) }},
		{"Release", func(context.Context) error {
			_, _ = e.Sem.TryAcquire(), e.Sem.Value()
			return e.Sem.Release()
		}},
		{"Signal", func(context.Context) error { e.Cond.Signal(); e.Cond.Broadcast(); return nil }},
		{"Seqlock.Load", func(ctx context.Context) error {
			var mine Words
			e.Seq.TryLoad(&mine)
			return e.Seq.Load(ctx, &mine)
		}},
		{"Seqlock.Store", func(ctx context.Context) error { return e.Seq.Store(ctx, &v) }},
		{"Seqlock.Update", func(ctx context.Context) error { return e.Seq.Update(ctx, func(*Words) {}) }},
		{"Twin.Load", func(context.Context) error {
			var mine Words
			e.Twin.Load(&mine)
			return nil
		}},
		{"Twin.Store", func(ctx context.Context) error { return e.Twin.Store(ctx, &v) }},
		{"Twin.Update", func(ctx context.Context) error { return e.Twin.Update(ctx, func(*Words) {}) }},
	}
}

// documented are the errors that the library may return for bytes that make no sense.
var documented = []error{nil, context.DeadlineExceeded, mutex.ErrOwnerDead, mutex.ErrNotRecoverable, mutex.ErrPIDNamespace,
	mutex.ErrNotShared, semaphore.ErrOverflow, seqlock.ErrWriterDead}

// Try makes the call, which may fail, or panic, as documented; an error is what it may not.
func (c Call) Try(ctx context.Context) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = c.judge(r)
		default:
			says := fmt.Sprint(r)
			if !strings.HasPrefix(says, "mutex: unlock of") && !strings.HasPrefix(says, "condvar: Wait with") {
				err = fmt.Errorf("%s panics: %v", c.Name, r)
			}
		}
	}()
	return c.judge(c.Do(ctx))
}

func (c Call) judge(err error) error {
	if slices.ContainsFunc(documented, func(is error) bool { return errors.Is(err, is) }) {
		return nil
	}
	return fmt.Errorf("%s: %w", c.Name, err)
}
