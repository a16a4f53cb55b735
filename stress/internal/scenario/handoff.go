package scenario

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"interlock/condvar"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/stress/internal/arena"
)

// The scenarios handoff and dead-waiter are theatre rather than a crowd: the
// supervisor gives three workers orders, so that it knows who sleeps, who owes
// a wake and what has to happen next. In a crowd a lost wake-up hides: the
// next unlock, or the look of the waiter's process, makes up for it.

// handArea is the props.
type handArea struct {
	Mu      mutex.Mutex
	Sem     semaphore.Semaphore
	Cond    condvar.Cond
	_       [40]byte
	Tickets atomic.Uint64 // what waiters on Cond wait for; changed under Mu
	Target  atomic.Uint64 // the process that an order to kill means
	GiveAt  atomic.Int64  // not before then is anything given away
	_       [40]byte
	Duel    duel
}

// Orders, in the lower byte of Slot.Command; a number above it makes each one
// new, and Slot.Reply repeats the whole when it is done.
const (
	opLock        = 1 + iota // lock
	opUnlock                 // unlock
	opLockBrief              // lock, stay a moment, unlock
	opAcquire                // take a permit
	opRelease                // give one
	opWait                   // wait for a ticket and take it
	opSignal                 // issue a ticket and signal
	opBroadcast              // issue two tickets and broadcast
	opUnlockKill             // unlock and at once kill Target
	opReleaseKill            // likewise
	opSignalKill             // likewise
	opDuel                   // see duel
)

// A lane's record: when it did what, by CLOCK_MONOTONIC. Scenarios that are made
// of several parts have a word of the record for each: see recDone, recPermit.
const (
	recGot  = 2 + iota // when it got what it waited for
	recGave            // when it began to give away what it had
)

func handPlan(name, about string) *Plan {
	return &Plan{
		Name:     name,
		About:    about,
		Shape:    Shape{Procs: 3, Lanes: 1},
		Least:    Shape{Procs: 3, Lanes: 1},
		Fixed:    true,
		Directed: true,
		NoKills:  true, // those that are part of the piece are not the supervisor's
		Area:     func(procs, lanes int) int { return arena.SizeOf[handArea]() },
		Attach: func(w *Worker) (Body, error) {
			h := arena.At[handArea](w.Arena.Scenario(), 0)
			h.Mu.OnOwnerDeath(func(pid int) error {
				w.Arena.Mourn(pid)
				return nil
			})
			f := follow(w)
			return Body{Step: func(l *Lane) error { return f.step(l, h.obey) }}, nil
		},
		Words: func(a *arena.Arena) []Word { return arena.At[handArea](a.Scenario(), 0).words() },
	}
}

// words are the state of the props.
func (h *handArea) words() []Word {
	return []Word{
		{"mutex word", lockWord(arena.Word(&h.Mu, 0))},
		{"semaphore", fmt.Sprintf("value %d nwaiters %d", arena.Word(&h.Sem, 0), arena.Word(&h.Sem, 1))},
		{"cond", condWord(&h.Cond)},
		{"tickets", fmt.Sprint(h.Tickets.Load())},
	}
}

// obey carries out one order.
func (h *handArea) obey(l *Lane, order uint32) error {
	l.Label.Store(LabelWaiting)
	switch order & 0xff {
	case opLock:
		l.waits()
		h.Mu.Lock()
		l.got()
	case opUnlock, opUnlockKill:
		h.gives(l)
		h.Mu.Unlock()
		l.held()
	case opLockBrief:
		l.waits()
		h.Mu.Lock()
		l.got()
		for t := time.Now(); time.Since(t) < 200*time.Microsecond; {
			runtime.Gosched()
		}
		h.gives(l)
		h.Mu.Unlock()
		l.held()
	case opAcquire:
		l.waits()
		if err := h.Sem.Acquire(context.Background()); err != nil {
			return err
		}
		l.got()
		l.done()
	case opRelease, opReleaseKill:
		h.gives(l)
		if err := h.Sem.Release(); err != nil {
			return err
		}
	case opWait:
		l.waits()
		if err := h.ticket(context.Background()); err != nil {
			return err
		}
		l.got()
		l.done()
	case opSignal, opSignalKill, opBroadcast:
		h.signal(l, order&0xff == opBroadcast)
	case opDuel:
		h.Duel.fight(l, &h.Mu)
	}
	switch order & 0xff {
	case opUnlockKill, opReleaseKill, opSignalKill:
		// At once: who was woken shall die before it has run.
		_ = syscall.Kill(int(h.Target.Load()), syscall.SIGKILL)
	}
	return nil
}

// ticket waits for a ticket and takes it.
func (h *handArea) ticket(ctx context.Context) error {
	h.Mu.Lock()
	defer h.Mu.Unlock()
	for h.Tickets.Load() == 0 {
		if err := h.Cond.WaitContext(ctx, &h.Mu); err != nil {
			return err
		}
	}
	h.Tickets.Add(^uint64(0))
	return nil
}

func (h *handArea) signal(l *Lane, all bool) {
	h.Mu.Lock()
	h.Tickets.Add(1)
	if all {
		h.Tickets.Add(1)
	}
	h.Mu.Unlock()
	h.gives(l)
	if all {
		h.Cond.Broadcast()
	} else {
		h.Cond.Signal()
	}
}

func (l *Lane) got() {
	l.holds()
	l.Rec[recGot].Store(uint64(arena.Now()))
	l.Label.Store(LabelInside)
}

// gives is called just before something is given away, and comes back when it is
// to be.
func (h *handArea) gives(l *Lane) {
	l.Label.Store(LabelGiving)
	sharp(h.GiveAt.Load())
	l.gives()
	l.Rec[recGave].Store(uint64(arena.Now()))
}

// sharp returns at a time by arena.Now. Timers are late; so the last bit it looks
// at the clock.
func sharp(at int64) {
	const last = 1500 * time.Microsecond
	for left := at - arena.Now(); left > 0; left = at - arena.Now() {
		if left > int64(last) {
			time.Sleep(time.Duration(left) - last)
		}
	}
}

// duel is one lane that holds the lock and one that comes for it, again and
// again. The holder lets go just when the other gives up spinning and says that
// it will sleep: how long that takes it learns as it goes, from whether the
// other had said so. So each instruction of an unlock meets each instruction of
// going to sleep sooner or later; and since nobody else is there, nobody makes
// up for a wake that is lost.
type duel struct {
	Until  atomic.Int64  // when it ends
	Holder atomic.Uint32 // the lane that holds; the other comes
	_      [52]byte
	Go     counter // the round that the other may begin; duelOver: none
	Done   counter // the round that the other has finished
}

const duelOver = 1 << 62

func (d *duel) fight(l *Lane, mu *mutex.Mutex) {
	if uint32(l.ID) == d.Holder.Load() {
		d.hold(l, mu)
		return
	}
	for round := uint64(1); ; round++ {
		for d.Go.N.Load() < round {
			runtime.Gosched()
		}
		if d.Go.N.Load() == duelOver {
			return
		}
		l.Label.Store(LabelWaiting)
		mu.Lock()
		l.Label.Store(LabelInside)
		mu.Unlock()
		l.Label.Store(LabelIdle)
		d.Done.N.Store(round)
		l.Ops.Add(1)
	}
}

func (d *duel) hold(l *Lane, mu *mutex.Mutex) {
	const most = int64(200 * time.Microsecond)
	stay := int64(10 * time.Microsecond)
	defer d.Go.N.Store(duelOver)
	for round := uint64(1); arena.Now() < d.Until.Load(); round++ {
		mu.Lock()
		l.Label.Store(LabelInside)
		d.Go.N.Store(round)
		for t := arena.Now(); arena.Now()-t < stay; {
		}
		for range l.Rand.IntN(64) {
			scratchpad.Load() // a few nanoseconds each: finer than the clock
		}
		asleep := arena.Word(mu, 0)&(1<<31) != 0
		l.Label.Store(LabelGiving)
		mu.Unlock()
		l.Label.Store(LabelIdle)
		step := 10 + l.Rand.Int64N(300)
		if asleep {
			step = -step
		}
		stay = min(max(stay+step, 0), most)
		for d.Done.N.Load() < round {
			runtime.Gosched()
		}
	}
}
