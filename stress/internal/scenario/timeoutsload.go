package scenario

import (
	"context"
	"errors"
	"fmt"

	"interlock/condvar"
	"interlock/mutex"
	"interlock/seqlock"
	"interlock/stress/internal/arena"
)

// A lane's records for the box and the ledger. Each is changed by one store: it
// has happened or it has not, whoever is killed when.
const (
	recGiven   = 8 + iota // tickets put into the box
	recDrawn              // tickets taken out of it
	recUntimed            // 1: waits for a ticket without a deadline
	recIssued             // versions begun
	recStoring            // 1: inside Store or Update
	recStored             // versions stored
)

// box is a mutex and a condition on what it guards: the tickets in it. How many
// there are follows from what the lanes did.
type box struct {
	Mu   mutex.Mutex
	Cond condvar.Cond
	insider
}

// mostTickets lets the box run empty often.
const mostTickets = 4

// tickets is how many there are; the caller holds the lock.
func tickets(a *arena.Arena) int64 { return int64(a.Sum(recGiven)) - int64(a.Sum(recDrawn)) }

// step puts a ticket in or takes one out.
func (b *box) step(l *Lane, t *timeoutsArea) error {
	l.waits()
	b.Mu.Lock()
	l.holds()
	b.enter(l, "condvar")
	l.Reach(labelBoxed)
	have := tickets(l.W.Arena)
	if have < 0 {
		l.Fault("condvar: %d tickets in the box: somebody took one without the lock", have)
	}
	if l.Rand.Uint32N(2) == 0 && have < mostTickets {
		l.Rec[recGiven].Add(1)
		l.linger(l.stay())
		b.Cond.Signal()
		return b.out(l)
	}
	for tickets(l.W.Arena) == 0 {
		if l.Stopping() {
			return b.out(l)
		}
		switch err := b.wait(l, t); {
		case errors.Is(err, mutex.ErrNotRecoverable):
			l.done()
			return err // and the mutex is not held
		case l.cancelled(err):
			return b.out(l)
		case err != nil:
			return err
		}
	}
	l.Rec[recDrawn].Add(1)
	return b.out(l)
}

func (b *box) out(l *Lane) error {
	b.leave(l, "condvar")
	l.gives()
	b.Mu.Unlock()
	l.held()
	l.Ops.Add(1)
	return nil
}

// wait waits for a signal. Whatever it returns, the lock has to be held. So many
// wait without a deadline, and no more, that others are left to give.
func (b *box) wait(l *Lane, t *timeoutsArea) error {
	must := int(l.W.Arena.Sum(recUntimed)) >= l.W.Arena.LaneCount()/4
	b.leave(l, "condvar")
	l.Label.Store(LabelWaiting)
	l.gives()
	l.held() // the mutex, and asks for it and a ticket
	l.waits()
	err := t.limited(l, onCond, must, l.W.Context(), func(ctx context.Context) error {
		if _, timed := ctx.Deadline(); !timed {
			l.Rec[recUntimed].Store(1)
			defer l.Rec[recUntimed].Store(0)
		}
		return b.Cond.WaitContext(ctx, &b.Mu)
	})
	if pid, held := b.Mu.Owner(); !held || pid != int(l.W.Slot.PID.Load()) {
		l.Fault("condvar: WaitContext returned %v to process %d, but process %d holds the mutex (held %v)", err, l.W.Slot.PID.Load(), pid, held)
	}
	l.holds()
	b.enter(l, "condvar")
	return err
}

// nudge rouses everybody when it is time to leave.
func (b *box) nudge() {
	b.Mu.Lock()
	b.Cond.Broadcast()
	b.Mu.Unlock()
}

// repair has nothing to finish but the signal that the dead owed.
func (b *box) repair(w *Worker, pid int) error {
	inside := int(b.Canary.Load() >> 32)
	if !mourn(w, pid, inside) {
		w.Arena.Fault(w.Index, "condvar: a repair was called for process %d (%d inside), which nobody killed", pid, inside)
	}
	b.Canary.Store(0)
	b.Cond.Broadcast()
	return nil
}

func settleBox(a *arena.Arena, slot int) {
	for j := range int(a.Lanes.Load()) {
		a.Lane(slot, j).Rec[recUntimed].Store(0)
	}
}

func (b *box) check(a *arena.Arena, f *Findings) {
	if n := tickets(a); n < 0 || n > mostTickets {
		f.Faults = append(f.Faults, fmt.Sprintf("condvar: all have left, and there are %d tickets in the box", n))
	}
	if c := b.Canary.Load(); c != 0 {
		f.Faults = append(f.Faults, fmt.Sprintf("condvar: all have left, but pid %d says it is inside", c>>32))
	}
}

// ledger is a Seqlock that writers store to. Its sequence counts what they
// stored, so it can be compared with what they say they did: a Store that
// returned an error must not have counted. Of a writer that was killed in a
// Store nobody can say; those are counted, and bound the difference.
type ledger struct {
	Lock   seqlock.Seqlock[small]
	Base   counter // the difference, sequence less records, at the last recount
	Killed counter // writers killed in a Store since
}

// version of the n'th store of a lane.
func version(lane int, n uint64) uint64 { return uint64(lane)<<40 | n }

func (q *ledger) step(l *Lane, t *timeoutsArea) error {
	n := l.Rec[recIssued].Load() + 1
	l.Rec[recIssued].Store(n)
	l.Rec[recStoring].Store(1)
	begin := l.Begin()
	err := q.store(l, t, version(l.ID, n))
	if err == nil {
		l.Took(arena.Hold, begin)
		l.Rec[recStored].Add(1)
	}
	l.Rec[recStoring].Store(0)
	switch {
	case err == nil:
		l.Ops.Add(1)
	case !l.cancelled(err):
		return err
	}
	q.look(l, n, err == nil)
	return nil
}

// store writes v; now and then as one who takes so long that the deadlines of
// others pass.
func (q *ledger) store(l *Lane, t *timeoutsArea, v uint64) error {
	if stay := l.stay(); stay > 0 {
		err := q.Lock.Update(context.Background(), func(p *small) {
			l.linger(stay)
			fill(p.words(), v)
		})
		if !errors.Is(err, seqlock.ErrWriterDead) {
			return err
		}
	}
	var p small
	fill(p.words(), v)
	return t.limited(l, onSeqlock, false, context.Background(), func(ctx context.Context) error { return q.Lock.Store(ctx, &p) })
}

// look reads what is there after the lane's n'th store was done, or refused: a
// version that was refused must never be seen, and one that is older than what
// was stored neither.
func (q *ledger) look(l *Lane, n uint64, stored bool) {
	var p small
	if !q.Lock.TryLoad(&p) {
		return
	}
	v, ok := whole(p.words())
	lane, number := int(v>>40), v&(1<<40-1)
	switch {
	case !ok:
		l.Fault("seqlock: torn read: first word %#x, last %#x", p.W[0], p.W[len(p.W)-1])
	case lane != l.ID || v == 0:
	case !stored && number == n:
		l.Fault("seqlock: Store was cancelled, and stored: version %d of lane %d", n, lane)
	case stored && number < n:
		l.Fault("seqlock: lane %d stored version %d, and then there is %d", lane, n, number)
	}
}

// settle takes a dead worker's writers into the accounts.
func (q *ledger) settle(a *arena.Arena, slot int) {
	for j := range int(a.Lanes.Load()) {
		if a.Lane(slot, j).Rec[recStoring].Swap(0) != 0 {
			q.Killed.N.Add(1)
		}
	}
}

// recount compares the sequence with the records; nobody stores meanwhile.
func (q *ledger) recount(a *arena.Arena) {
	sequence := uint64(arena.Word(&q.Lock, 1))<<32 | uint64(arena.Word(&q.Lock, 0))
	more := sequence/2 - a.Sum(recStored)
	if extra := int64(more - q.Base.N.Load()); extra < 0 || extra > int64(q.Killed.N.Load()) {
		a.Fault(-1, "seqlock: %d stores more than were done; %d writers were killed in one", extra, q.Killed.N.Load())
	}
	q.Base.N.Store(more)
	q.Killed.N.Store(0)
}
