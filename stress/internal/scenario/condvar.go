package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"interlock/condvar"
	"interlock/stress/internal/arena"
)

// condArea is a ring whose users wait on two conditions.
type condArea struct {
	ringBuffer
	NotEmpty condvar.Cond
	NotFull  condvar.Cond
}

func condvarPlan() *Plan {
	return &Plan{
		Name:     "condvar",
		About:    "a bounded buffer between processes: each item exactly once and in order",
		Labels:   []string{"journal open", "half changed", "not signalled", "item in hand"},
		Duration: 1600 * time.Millisecond,
		Shape:    Shape{Procs: 4, Lanes: 4},
		Least:    Shape{Procs: 2, Lanes: 1},
		Traps:    []uint32{labelRingOpen, labelRingHalf, labelRingDone, labelRingUsing},
		Held:     []uint32{labelRingOpen, labelRingHalf, labelRingDone},
		Marks:    []string{"E-C", "E-M"},
		Area:     func(procs, lanes int) int { return arena.SizeOf[condArea]() },
		Attach: func(w *Worker) (Body, error) {
			r := arena.At[condArea](w.Arena.Scenario(), 0)
			r.Mu.OnOwnerDeath(func(pid int) error { return r.repair(w, pid) })
			step := r.produce
			if w.Index%2 == 1 {
				step = r.consume
			}
			return Body{Step: step, Nudge: r.nudge}, nil
		},
		Check: func(a *arena.Arena, f *Findings) { arena.At[condArea](a.Scenario(), 0).check(a, f) },
		Words: func(a *arena.Arena) []Word {
			r := arena.At[condArea](a.Scenario(), 0)
			return append(r.words(), Word{"not empty", condWord(&r.NotEmpty)}, Word{"not full", condWord(&r.NotFull)})
		},
	}
}

func condWord(c *condvar.Cond) string {
	return fmt.Sprintf("seq %d waiters %d", arena.Word(c, 0), arena.Word(c, 1))
}

// wait waits on a condition in one of the ways there are. The lock is held
// before and after.
func (r *condArea) wait(c *condvar.Cond, l *Lane) error {
	l.Label.Store(LabelWaiting)
	r.Inside.Store(0)
	defer func() { r.Inside.Store(uint64(l.W.Slot.PID.Load())) }()
	if l.Rand.Uint32N(8) != 0 {
		begin := l.Begin()
		c.Wait(&r.Mu)
		l.Took(arena.Wait, begin)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(l.Rand.Int64N(int64(3*time.Millisecond))))
	defer cancel()
	err := c.WaitContext(ctx, &r.Mu)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err // with ErrNotRecoverable nobody is inside any more, but then all is over
}

// produce pushes one item. It signals before it unlocks: were it killed
// between, the item would lie there and nobody would know; so the repair knows.
func (r *condArea) produce(l *Lane) error {
	l.Label.Store(LabelWaiting)
	defer r.enter(l)()
	for r.Tail-r.Head == ringSize {
		if l.Stopping() {
			return nil
		}
		if err := r.wait(&r.NotFull, l); err != nil {
			return err
		}
	}
	r.push(l)
	r.NotEmpty.Signal()
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
	return nil
}

// consume pops one item and uses it outside the lock.
func (r *condArea) consume(l *Lane) error {
	l.Label.Store(LabelWaiting)
	got, err := r.take(l)
	if !got {
		return err
	}
	l.use()
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
	return nil
}

func (r *condArea) take(l *Lane) (got bool, err error) {
	defer r.enter(l)()
	r.adopt(l)
	for r.Tail == r.Head {
		if l.Stopping() {
			return false, nil
		}
		if err := r.wait(&r.NotEmpty, l); err != nil {
			return false, err
		}
	}
	r.pop(l)
	r.NotFull.Signal()
	return true, nil
}

// nudge rouses everybody when it is time to leave. Holding the lock, it cannot
// come between a look at the phase and the sleep that follows.
func (r *condArea) nudge() {
	r.Mu.Lock()
	r.NotEmpty.Broadcast()
	r.NotFull.Broadcast()
	r.Mu.Unlock()
}

// repair finishes the change that the dead owner began, and signals what it
// may not have come to signal.
func (r *condArea) repair(w *Worker, pid int) error {
	r.ringBuffer.repair(w, pid)
	r.NotEmpty.Broadcast()
	r.NotFull.Broadcast()
	return nil
}
