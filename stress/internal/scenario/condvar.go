package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"interlock/condvar"
	"interlock/mutex"
	"interlock/stress/internal/arena"
)

// ringArea is a bounded buffer between processes: one mutex, two conditions.
//
// Every item is named by its producer and a number that counts up, so whoever
// pops it sees whether it is the next of that producer: none twice, none lost,
// none out of order. A change of the ring is journaled, so that a repair can
// finish it. An item that a consumer was killed with is in its lane's record,
// and the consumer's successor takes it from there.
type ringArea struct {
	Mu       mutex.Mutex
	NotEmpty condvar.Cond
	NotFull  condvar.Cond
	_        [8]byte

	Head, Tail uint64 // plain: the mutex guards them
	Ring       [ringSize]uint64

	Inside  atomic.Uint64 // the process that holds the lock and has come to say so
	Open    atomic.Uint64 // what is under way: ringPush, ringPop or 0
	Lane    atomic.Uint64 // whose change
	Item    atomic.Uint64
	At      atomic.Uint64 // Tail before a push, Head before a pop
	Number  atomic.Uint64 // the lane's own count after it
	Repairs atomic.Uint64
	Redone  atomic.Uint64
	Adopted atomic.Uint64 // items taken over from a killed consumer's hand
}

const ringSize = 32

const (
	ringPush = 1
	ringPop  = 2
)

// A lane's record; all but recUsed are changed under the lock only.
const (
	recPushed = iota // producer: items pushed
	recPopped        // of this producer's items: popped by anybody
	recHand          // consumer: the item in its hand
	recTaken         // consumer: items taken into its hand
	recUsed          // consumer: items done with; one less than taken while one is in the hand
)

// Labels of the condvar scenario.
const (
	labelRingOpen  = LabelOwn + iota // journal open
	labelRingHalf                    // half changed
	labelRingDone                    // changed, nobody signalled yet
	labelRingUsing                   // outside the lock, an item in the hand
)

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
		Area:     func(procs, lanes int) int { return arena.SizeOf[ringArea]() },
		Attach: func(w *Worker) (Body, error) {
			r := arena.At[ringArea](w.Arena.Scenario(), 0)
			r.Mu.OnOwnerDeath(func(pid int) error { return r.repair(w, pid) })
			step := r.produce
			if w.Index%2 == 1 {
				step = r.consume
			}
			return Body{Step: step, Nudge: r.nudge}, nil
		},
		Check: checkRing,
		Words: func(a *arena.Arena) []Word {
			r := arena.At[ringArea](a.Scenario(), 0)
			return []Word{
				{"mutex word", lockWord(arena.Word(&r.Mu, 0))},
				{"not empty", condWord(&r.NotEmpty)},
				{"not full", condWord(&r.NotFull)},
				{"ring", fmt.Sprintf("%d of %d items, journal %d", r.Tail-r.Head, ringSize, r.Open.Load())},
			}
		},
	}
}

func condWord(c *condvar.Cond) string {
	return fmt.Sprintf("seq %d waiters %d", arena.Word(c, 0), arena.Word(c, 1))
}

// wait waits on a condition in one of the ways there are. The lock is held
// before and after.
func (r *ringArea) wait(c *condvar.Cond, l *Lane) error {
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

// enter locks, and returns what unlocks.
func (r *ringArea) enter(l *Lane) (leave func()) {
	r.Mu.Lock()
	r.Inside.Store(uint64(l.W.Slot.PID.Load()))
	return func() {
		r.Inside.Store(0)
		r.Mu.Unlock()
	}
}

// produce pushes one item. It signals before it unlocks: were it killed
// between, the item would lie there and nobody would know; so the repair knows.
func (r *ringArea) produce(l *Lane) error {
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
	number := l.Rec[recPushed].Load() + 1
	r.Lane.Store(uint64(l.ID))
	r.Item.Store(uint64(l.ID)<<40 | number)
	r.At.Store(r.Tail)
	r.Number.Store(number)
	r.Open.Store(ringPush)
	l.Reach(labelRingOpen)
	r.Ring[r.At.Load()%ringSize] = r.Item.Load()
	l.Reach(labelRingHalf)
	r.Tail = r.At.Load() + 1
	l.Rec[recPushed].Store(number)
	r.Open.Store(0)
	l.Reach(labelRingDone)
	r.NotEmpty.Signal()
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
	return nil
}

// consume pops one item and uses it outside the lock.
func (r *ringArea) consume(l *Lane) error {
	l.Label.Store(LabelWaiting)
	got, err := r.pop(l)
	if !got {
		return err
	}
	l.Reach(labelRingUsing)
	l.Rec[recUsed].Store(l.Rec[recTaken].Load())
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
	return nil
}

func (r *ringArea) pop(l *Lane) (got bool, err error) {
	defer r.enter(l)()
	if taken := l.Rec[recTaken].Load(); l.Rec[recUsed].Load() != taken {
		// Our predecessor was killed with an item in its hand.
		l.Rec[recUsed].Store(taken)
		r.Adopted.Add(1)
	}
	for r.Tail == r.Head {
		if l.Stopping() {
			return false, nil
		}
		if err := r.wait(&r.NotEmpty, l); err != nil {
			return false, err
		}
	}
	item := r.Ring[r.Head%ringSize]
	producer := l.W.Arena.LaneByID(r.checked(l, item))
	r.Lane.Store(uint64(l.ID))
	r.Item.Store(item)
	r.At.Store(r.Head)
	r.Number.Store(l.Rec[recTaken].Load() + 1)
	r.Open.Store(ringPop)
	l.Reach(labelRingOpen)
	l.Rec[recHand].Store(item)
	l.Rec[recTaken].Store(r.Number.Load())
	l.Reach(labelRingHalf)
	producer.Rec[recPopped].Store(item & (1<<40 - 1))
	r.Head = r.At.Load() + 1
	r.Open.Store(0)
	l.Reach(labelRingDone)
	r.NotFull.Signal()
	return true, nil
}

// checked is the producer of an item that is about to be popped, which must
// be the next of that producer.
func (r *ringArea) checked(l *Lane, item uint64) int {
	id, number := int(item>>40), item&(1<<40-1)
	if id >= l.W.Arena.LaneCount() {
		l.Fault("condvar: item %#x was pushed by nobody", item)
		return 0
	}
	if last := l.W.Arena.LaneByID(id).Rec[recPopped].Load(); number != last+1 {
		l.Fault("condvar: after item %d of lane %d comes item %d: lost, doubled or out of order", last, id, number)
	}
	return id
}

// nudge rouses everybody when it is time to leave. Holding the lock, it cannot
// come between a look at the phase and the sleep that follows.
func (r *ringArea) nudge() {
	r.Mu.Lock()
	r.NotEmpty.Broadcast()
	r.NotFull.Broadcast()
	r.Mu.Unlock()
}

// repair finishes the change that the dead owner began, and signals what it
// may not have come to signal.
func (r *ringArea) repair(w *Worker, pid int) error {
	if !mourn(w, pid, int(r.Inside.Load())) {
		w.Arena.Fault(w.Index, "condvar: a repair was called for process %d (%d inside), which nobody killed", pid, r.Inside.Load())
	}
	r.Repairs.Add(1)
	lane := w.Arena.LaneByID(int(r.Lane.Load()) % w.Arena.LaneCount())
	item := r.Item.Load()
	switch r.Open.Load() {
	case ringPush:
		r.Ring[r.At.Load()%ringSize] = item
		r.Tail = r.At.Load() + 1
		lane.Rec[recPushed].Store(r.Number.Load())
		r.Redone.Add(1)
	case ringPop:
		lane.Rec[recHand].Store(item)
		lane.Rec[recTaken].Store(r.Number.Load())
		w.Arena.LaneByID(int(item >> 40)).Rec[recPopped].Store(item & (1<<40 - 1))
		r.Head = r.At.Load() + 1
		r.Redone.Add(1)
	}
	r.Open.Store(0)
	r.Inside.Store(0)
	r.NotEmpty.Broadcast()
	r.NotFull.Broadcast()
	return nil
}

func checkRing(a *arena.Arena, f *Findings) {
	r := arena.At[ringArea](a.Scenario(), 0)
	pushed, popped, taken := a.Sum(recPushed), a.Sum(recPopped), a.Sum(recTaken)
	if r.Tail != pushed || r.Head != popped || r.Tail-r.Head > ringSize {
		f.Faults = append(f.Faults, fmt.Sprintf("condvar: the ring counts %d in and %d out, the lanes %d and %d", r.Tail, r.Head, pushed, popped))
	}
	if taken != popped {
		f.Faults = append(f.Faults, fmt.Sprintf("condvar: %d items popped, %d taken into a hand", popped, taken))
	}
	for at := r.Head; at < r.Tail && r.Tail-r.Head <= ringSize; at++ {
		item := r.Ring[at%ringSize]
		lane := a.LaneByID(int(item>>40) % a.LaneCount())
		if last := lane.Rec[recPopped].Load(); item&(1<<40-1) != last+1 {
			f.Faults = append(f.Faults, fmt.Sprintf("condvar: left in the ring: item %#x after %d", item, last))
		}
		lane.Rec[recPopped].Add(1)
	}
	f.Notes = append(f.Notes, fmt.Sprintf("lost %d adopted %d", int64(pushed-popped-(r.Tail-r.Head)), r.Adopted.Load()))
	f.Metric("pushed", float64(pushed))
	f.Metric("repairs", float64(r.Repairs.Load()))
	f.Metric("redone", float64(r.Redone.Load()))
}
