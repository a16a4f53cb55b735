package scenario

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"interlock/stress/internal/arena"
)

// Worker is one worker process, seen from inside.
type Worker struct {
	Arena *arena.Arena
	Slot  *arena.Slot
	Index int
	Gen   uint32

	mu  sync.Mutex
	ctx atomic.Pointer[pauseContext]

	points *points // nil: nobody asks where the worker comes by
}

// pauseContext is cancelled when the supervisor wants everybody to park.
type pauseContext struct {
	ctx    context.Context
	cancel context.CancelFunc
}

// NewWorker is the worker of slot index.
func NewWorker(a *arena.Arena, index int, gen uint32) *Worker {
	w := &Worker{Arena: a, Slot: a.Slot(index), Index: index, Gen: gen}
	w.renew()
	return w
}

// Lane is the worker's j-th lane.
func (w *Worker) Lane(j int) *Lane {
	return &Lane{
		Lane: w.Arena.Lane(w.Index, j),
		W:    w,
		ID:   w.Index*int(w.Arena.Lanes.Load()) + j,
		Rand: rand.New(rand.NewPCG(w.Arena.Seed.Load(), uint64(w.Index)<<40|uint64(w.Gen)<<8|uint64(j))),
	}
}

// Context is cancelled by a pause, not by the end of the run: at the end every
// wait has to come to its own end.
func (w *Worker) Context() context.Context {
	p := w.ctx.Load()
	if p.ctx.Err() != nil && w.Arena.Phase.Load() != arena.PhasePause {
		return w.renew()
	}
	return p.ctx
}

func (w *Worker) renew() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p := w.ctx.Load(); p != nil && p.ctx.Err() == nil {
		return p.ctx
	}
	p := &pauseContext{}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	w.ctx.Store(p)
	return p.ctx
}

// rouse ends the waits that have a Context of now.
func (w *Worker) rouse() { w.ctx.Load().cancel() }

// Watch follows the supervisor's phases until it is time to leave.
func (w *Worker) Watch(nudge func()) {
	for {
		switch w.Arena.Phase.Load() {
		case arena.PhasePause:
			w.rouse()
		case arena.PhaseStop:
			if nudge != nil {
				nudge()
			}
			// Without a timer the runtime would end a worker whose lanes hang
			// with a message of its own; the supervisor knows better.
			time.Sleep(time.Hour)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// Lane is one goroutine of a worker, seen from inside.
type Lane struct {
	*arena.Lane
	W    *Worker
	ID   int // across all workers
	Rand *rand.Rand

	muted bool             // times nothing
	begun uint             // operations that could have been timed
	op    *arena.Operation // the one that is timed, where they are kept
	since int64            // where wait and hold are in different functions: what Begin or Took returned last
}

// timedEach: only every so manieth operation is timed, since two clock readings can cost
// more than the operation between them.
const timedEach = 16

// Begin is the time, if this operation is to be timed, else 0.
func (l *Lane) Begin() int64 {
	l.op = nil
	if l.muted {
		return 0
	}
	if l.begun++; l.begun%timedEach != 0 && l.W.Arena.Every.Load() == 0 {
		return 0
	}
	if l.note(0, 0, 0); l.op != nil {
		return l.op.Call.Load()
	}
	return arena.Now()
}

// note begins to write an operation down, if they are kept.
func (l *Lane) note(kind uint32, in, round uint64) {
	l.op = l.W.Arena.Begin(l.ID, l.W.Slot.PID.Load(), kind, in, round)
}

// Took counts what began at a time that Begin or Took returned, and returns the time.
func (l *Lane) Took(m arena.Measure, begin int64) int64 {
	if begin == 0 {
		return 0
	}
	now := arena.Now()
	l.W.Arena.Spread(l.W.Index, m).Add(time.Duration(now - begin))
	switch {
	case l.op == nil:
	case m == arena.Wait:
		l.op.Got.Store(now)
	case m == arena.Hold:
		l.op.Done.Store(now)
	}
	return now
}

// gives is called before what a lane has is given away.
func (l *Lane) gives() {
	if l.op != nil {
		l.op.Give.Store(arena.Now())
	}
}

// waits, holds and held are Begin and Took of an operation that is in several functions, or
// several orders.
func (l *Lane) waits() { l.since = l.Begin() }
func (l *Lane) holds() { l.since = l.Took(arena.Wait, l.since) }
func (l *Lane) held() {
	l.Took(arena.Hold, l.since)
	l.done()
}

// done forgets the operation: what follows is not part of it.
func (l *Lane) done() { l.op, l.since = nil, 0 }

// mute is the lane for one of many goroutines that share it: only one of them, who has the
// lane itself, may write operations down.
func (l *Lane) mute() *Lane {
	m := *l
	m.muted = true
	m.done()
	return &m
}

// Reach says where the lane is. If the supervisor has set a trap there, the
// lane stands still until it is killed or let go.
func (l *Lane) Reach(label uint32) {
	l.Label.Store(label)
	if l.W.points != nil {
		l.W.points.reached(label)
	}
	if l.W.Slot.Trap.Load() == label {
		l.W.trapped(label, l.ID)
	}
}

func (w *Worker) trapped(label uint32, lane int) {
	slot := w.Slot
	if !slot.Trapped.CompareAndSwap(0, uint32(lane)+1) {
		return // another lane stands there already
	}
	for slot.Trap.Load() == label {
		time.Sleep(100 * time.Microsecond)
	}
	slot.Trapped.Store(0)
}

// Stopping says that it is time to leave.
func (l *Lane) Stopping() bool { return l.W.Arena.Phase.Load() == arena.PhaseStop }

// Fault records a broken invariant.
func (l *Lane) Fault(format string, args ...any) { l.W.Arena.Fault(l.W.Index, format, args...) }
