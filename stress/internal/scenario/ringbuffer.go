package scenario

import (
	"fmt"
	"sync/atomic"

	"interlock/mutex"
	"interlock/stress/internal/arena"
)

// ringBuffer is a bounded buffer between processes, and the mutex that guards it. How its
// users wait for an item, or for room, is their own.
//
// Every item is named by its producer and a number that counts up, so whoever
// pops it sees whether it is the next of that producer: none twice, none lost,
// none out of order. A change of the ring is journaled, so that a repair can
// finish it. An item that a consumer was killed with is in its lane's record,
// and the consumer's successor takes it from there.
type ringBuffer struct {
	Mu mutex.Mutex

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

// Labels of whoever changes a ring; a scenario's own come after them.
const (
	labelRingOpen  = LabelOwn + iota // journal open
	labelRingHalf                    // half changed
	labelRingDone                    // changed, nobody told yet
	labelRingUsing                   // outside the lock, an item in the hand
	labelRingOwn
)

// enter locks, and returns what unlocks.
func (r *ringBuffer) enter(l *Lane) (leave func()) {
	r.Mu.Lock()
	r.Inside.Store(uint64(l.W.Slot.PID.Load()))
	return func() {
		r.Inside.Store(0)
		r.Mu.Unlock()
	}
}

// push puts the lane's next item in; there has to be room.
func (r *ringBuffer) push(l *Lane) {
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
}

// pop takes the oldest item into the lane's hand; there has to be one.
func (r *ringBuffer) pop(l *Lane) {
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
}

// adopt takes over the item in whose hand our predecessor was killed.
func (r *ringBuffer) adopt(l *Lane) {
	if taken := l.Rec[recTaken].Load(); l.Rec[recUsed].Load() != taken {
		l.Rec[recUsed].Store(taken)
		r.Adopted.Add(1)
	}
}

// use is what a consumer does with its item, outside the lock.
func (l *Lane) use() {
	l.Reach(labelRingUsing)
	l.Rec[recUsed].Store(l.Rec[recTaken].Load())
}

// checked is the producer of an item that is about to be popped, which must
// be the next of that producer.
func (r *ringBuffer) checked(l *Lane, item uint64) int {
	id, number := int(item>>40), item&(1<<40-1)
	if id >= l.W.Arena.LaneCount() {
		l.Fault("the ring: item %#x was pushed by nobody", item)
		return 0
	}
	if last := l.W.Arena.LaneByID(id).Rec[recPopped].Load(); number != last+1 {
		l.Fault("the ring: after item %d of lane %d comes item %d: lost, doubled or out of order", last, id, number)
	}
	return id
}

// repair finishes the change that the dead owner began.
func (r *ringBuffer) repair(w *Worker, pid int) {
	if inside := int(r.Inside.Load()); !mourn(w, pid, inside) {
		w.Arena.Fault(w.Index, "the ring: a repair was called for process %d (%d inside), which nobody killed", pid, inside)
	}
	r.Repairs.Add(1)
	r.redo(w.Arena)
	r.Inside.Store(0)
}

// redo finishes the change that is under way, if there is one. To do it twice does no harm.
func (r *ringBuffer) redo(a *arena.Arena) {
	lane := a.LaneByID(int(r.Lane.Load()) % a.LaneCount())
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
		a.LaneByID(int(item >> 40)).Rec[recPopped].Store(item & (1<<40 - 1))
		r.Head = r.At.Load() + 1
		r.Redone.Add(1)
	}
	r.Open.Store(0)
}

// words are the state of the ring.
func (r *ringBuffer) words() []Word {
	return []Word{
		{"mutex word", lockWord(arena.Word(&r.Mu, 0))},
		{"ring", fmt.Sprintf("%d of %d items, journal %d", r.Tail-r.Head, ringSize, r.Open.Load())},
	}
}

// check judges what is left when all have left.
func (r *ringBuffer) check(a *arena.Arena, f *Findings) {
	pushed, popped, taken := a.Sum(recPushed), a.Sum(recPopped), a.Sum(recTaken)
	if r.Tail != pushed || r.Head != popped || r.Tail-r.Head > ringSize {
		f.Faults = append(f.Faults, fmt.Sprintf("the ring: the ring counts %d in and %d out, the lanes %d and %d", r.Tail, r.Head, pushed, popped))
	}
	if taken != popped {
		f.Faults = append(f.Faults, fmt.Sprintf("the ring: %d items popped, %d taken into a hand", popped, taken))
	}
	for at := r.Head; at < r.Tail && r.Tail-r.Head <= ringSize; at++ {
		item := r.Ring[at%ringSize]
		lane := a.LaneByID(int(item>>40) % a.LaneCount())
		if last := lane.Rec[recPopped].Load(); item&(1<<40-1) != last+1 {
			f.Faults = append(f.Faults, fmt.Sprintf("the ring: left in the ring: item %#x after %d", item, last))
		}
		lane.Rec[recPopped].Add(1)
	}
	f.Notes = append(f.Notes, fmt.Sprintf("lost %d adopted %d", int64(pushed-popped-(r.Tail-r.Head)), r.Adopted.Load()))
	f.Metric("pushed", float64(pushed))
	f.Metric("repairs", float64(r.Repairs.Load()))
	f.Metric("redone", float64(r.Redone.Load()))
}
