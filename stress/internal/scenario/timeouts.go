package scenario

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"interlock/mutex"
	"interlock/seqlock"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/refuse"
)

// timeoutsArea is one of each primitive, for waits half of which have a
// deadline, and the props for what is played while there is no load.
type timeoutsArea struct {
	M   mutexArea
	_   [64]byte
	S   semArea
	Box box
	Q   ledger

	// While there is no load.
	Hand  handArea
	Until atomic.Int64 // when the patience of a timed order ends
	Busy  mutex.Mutex  // held, like the writers' lock of Held, by a worker that is told so
	_     [16]byte
	Held  seqlock.Seqlock[small]

	NoFilter atomic.Uint32 // 1: a worker could not have itself refused futex_waitv
	_        [60]byte
	Late     [loads][groups][kinds]arena.Spread // from the deadline to the return
}

// Whether the others were at work.
const (
	underLoad = iota
	calm
	loads
)

// What is waited for.
const (
	onMutex = iota
	onSemaphore
	onCond
	onSeqlock
	onTimer // the control: nothing of the library, only Go's context
	kinds
)

var kindNames = [kinds]string{"mutex", "semaphore", "cond", "seqlock", "timer"}

// The workers differ in what the machine gives them, by slot.
const (
	noWaitv = 1
	oneCPU  = 2
	groups  = 4
)

var groupNames = [groups]string{"waitv", "none", "waitv/1cpu", "none/1cpu"}

func groupOf(slot int) int { return slot % groups }

// labelBoxed: holds the box's mutex.
const labelBoxed = labelRepairing + 1

// longestPatience bounds the deadlines.
const longestPatience = time.Millisecond

// modeCalm, in Header.Mode: no load; lane 0 of each worker obeys orders.
const modeCalm = 1

func timeoutsPlan() *Plan {
	held := []uint32{labelOpened, labelHalf, labelClosed, labelBoxed}
	var p *prompter
	return &Plan{
		Name:     "timeouts",
		About:    "half of all waits have a deadline: who is cancelled holds nothing and has used up no wake, and returns at once",
		Labels:   append(mutexLabels[:len(mutexLabels):len(mutexLabels)], "at the box"),
		Duration: 2500 * time.Millisecond,
		Shape:    Shape{Procs: 4, Lanes: 4},
		Least:    Shape{Procs: groups, Lanes: 1},
		Traps:    append(held[:len(held):len(held)], LabelInside, labelRepairing),
		Held:     held,
		Marks:    []string{"E-"},
		Area:     func(procs, lanes int) int { return arena.SizeOf[timeoutsArea]() },
		Setup:    func(a *arena.Arena) { timeoutsOf(a).S.setup(max(a.LaneCount()/8, 1)) },
		Attach:   attachTimeouts,
		Conduct: func(st Stage) {
			p = newPrompter(st)
			p.conduct()
		},
		Settle: func(a *arena.Arena, slot int) {
			t := timeoutsOf(a)
			t.S.settle(a, slot)
			t.Q.settle(a, slot)
			settleBox(a, slot)
		},
		Check: func(a *arena.Arena, f *Findings) { p.check(a, f) },
		Words: func(a *arena.Arena) []Word {
			t := timeoutsOf(a)
			words := append(t.M.words(), t.S.words()...)
			return append(words,
				Word{"box", lockWord(arena.Word(&t.Box.Mu, 0))}, Word{"its cond", condWord(&t.Box.Cond)},
				Word{"seqlock", seqWord(arena.Word(&t.Q.Lock, 0), arena.Word(&t.Q.Lock, 2))})
		},
	}
}

func timeoutsOf(a *arena.Arena) *timeoutsArea { return arena.At[timeoutsArea](a.Scenario(), 0) }

// attachTimeouts makes the worker what its slot says, before it waits for the
// first time.
func attachTimeouts(w *Worker) (Body, error) {
	t := timeoutsOf(w.Arena)
	if groupOf(w.Index)&noWaitv != 0 {
		if err := refuse.NewCalls(); err != nil {
			t.NoFilter.Store(1)
		}
	}
	if groupOf(w.Index)&oneCPU != 0 {
		runtime.GOMAXPROCS(1)
	}
	t.M.Mu.OnOwnerDeath(func(pid int) error { return t.M.repair(w, pid) })
	t.Box.Mu.OnOwnerDeath(func(pid int) error { return t.Box.repair(w, pid) })
	f := follow(w)
	return Body{Nudge: t.Box.nudge, Step: func(l *Lane) error {
		switch {
		case w.Arena.Mode.Load() != modeCalm:
			return t.step(l)
		case l.ID%int(w.Arena.Lanes.Load()) == 0:
			return f.step(l, t.obey)
		}
		time.Sleep(time.Millisecond)
		return nil
	}}, nil
}

// step is one operation under load.
func (t *timeoutsArea) step(l *Lane) error {
	l.Label.Store(LabelWaiting)
	defer l.Label.Store(LabelIdle)
	switch l.Rand.IntN(onTimer) {
	case onMutex:
		return t.lock(l)
	case onSemaphore:
		return t.S.visit(l, t.acquire, l.stay())
	case onCond:
		return t.Box.step(l, t)
	}
	return t.Q.step(l, t)
}

// limited waits with a deadline, or, unless it must have one, without.
func (t *timeoutsArea) limited(l *Lane, kind int, must bool, base context.Context, wait func(ctx context.Context) error) error {
	if !must && l.Rand.Uint32N(2) == 0 {
		return wait(base)
	}
	return t.timed(l, underLoad, kind, base, wait)
}

// timed waits with a deadline. If the deadline ends the wait, it notes how much
// later the call returned.
func (t *timeoutsArea) timed(l *Lane, load, kind int, base context.Context, wait func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(base, time.Duration(l.Rand.Int64N(int64(longestPatience)+1)))
	defer cancel()
	begin := time.Now()
	err := wait(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		due, _ := ctx.Deadline()
		if due.Before(begin) {
			due = begin // it was over before the wait began
		}
		t.Late[load][groupOf(l.W.Index)][kind].Add(time.Since(due))
	}
	return err
}

// cancelled says that a wait was ended by its context, which may be.
func (l *Lane) cancelled(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		l.Errors.Add(1)
		return true
	}
	return false
}

// stay is how long to stay inside: now and then so long that deadlines pass.
func (l *Lane) stay() time.Duration {
	if l.Rand.Uint32N(8) != 0 {
		return 0
	}
	return time.Duration(l.Rand.Int64N(int64(longestPatience / 2)))
}

func (t *timeoutsArea) lock(l *Lane) error {
	begin := l.Begin()
	err := t.limited(l, onMutex, false, context.Background(), func(ctx context.Context) error {
		if ctx.Done() != nil {
			return t.M.Mu.LockContext(ctx)
		}
		t.M.Mu.Lock()
		return nil
	})
	if l.cancelled(err) {
		return nil
	}
	if err == nil {
		begin = l.Took(arena.Wait, begin)
		t.M.change(l, l.stay())
		l.Took(arena.Hold, begin)
	}
	return err
}

func (t *timeoutsArea) acquire(l *Lane) bool {
	return nil == t.limited(l, onSemaphore, false, l.W.Context(), func(ctx context.Context) error {
		err := t.S.Sem.Acquire(ctx)
		l.acquired(ctx, err)
		return err
	})
}

// The orders that are not handArea's.
const (
	opHold         = opDuel + 1 + iota // hold Busy and Held until the next order
	opCancels                          // wait for what is not to be had, with deadlines
	opLockUntil                        // lock, but not after Until
	opAcquireUntil                     // take a permit, likewise
	opWaitUntil                        // wait for a ticket and take it, likewise
	opRest                             // nothing
)

// recOutcome is what came of a timed order.
const recOutcome = 4

const (
	outcomeGot = 1 + iota
	outcomeCancelled
)

// obey carries out one order while there is no load.
func (t *timeoutsArea) obey(l *Lane, order uint32) error {
	switch op := order & 0xff; op {
	case opHold:
		return t.hold(l, order)
	case opCancels:
		return t.cancels(l)
	case opLockUntil, opAcquireUntil, opWaitUntil:
		return t.until(l, op)
	case opRest:
		return nil
	}
	return t.Hand.obey(l, order)
}

// hold keeps from others what cancels waits for.
func (t *timeoutsArea) hold(l *Lane, order uint32) error {
	t.Busy.Lock()
	defer t.Busy.Unlock()
	return t.Held.Update(context.Background(), func(*small) {
		l.Label.Store(LabelInside)
		for l.W.Slot.Command.Load() == order {
			time.Sleep(200 * time.Microsecond)
		}
	})
}

// cancelRounds is how often each kind of wait is cancelled for one order.
const cancelRounds = 4

// cancels measures: nobody gives what is waited for, so each wait has to end by
// its deadline.
func (t *timeoutsArea) cancels(l *Lane) error {
	waits := [kinds]func(ctx context.Context) error{
		onMutex:     t.Busy.LockContext,
		onSemaphore: t.Hand.Sem.Acquire,
		onCond:      t.waitInVain,
		onSeqlock:   func(ctx context.Context) error { return t.Held.Store(ctx, new(small)) },
		onTimer: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		},
	}
	for range cancelRounds {
		for _, kind := range l.Rand.Perm(kinds) { // the first after a rest is not like the others
			err := t.timed(l, calm, kind, context.Background(), waits[kind])
			if !errors.Is(err, context.DeadlineExceeded) {
				l.Fault("timeouts: a wait (%s) for what nobody gives returned %v", kindNames[kind], err)
			}
		}
	}
	return nil
}

// waitInVain waits for a signal that never comes. Cond may wake somebody
// without one.
func (t *timeoutsArea) waitInVain(ctx context.Context) error {
	t.Hand.Mu.Lock()
	defer t.Hand.Mu.Unlock()
	for {
		if err := t.Hand.Cond.WaitContext(ctx, &t.Hand.Mu); err != nil {
			return err
		}
	}
}

// until is a wait that ends at an appointed time, more exactly than by a
// deadline: it is to meet with a gift.
func (t *timeoutsArea) until(l *Lane, op uint32) error {
	h := &t.Hand
	ctx, cancel := context.WithCancel(context.Background())
	go func(at int64) {
		sharp(at)
		cancel()
	}(t.Until.Load())
	l.Label.Store(LabelWaiting)
	l.waits()
	var err error
	switch op {
	case opLockUntil:
		err = h.Mu.LockContext(ctx)
	case opAcquireUntil:
		err = h.Sem.Acquire(ctx)
	case opWaitUntil:
		err = h.ticket(ctx)
	}
	if l.cancelled(err) {
		l.Rec[recOutcome].Store(outcomeCancelled)
		l.done()
		return nil
	}
	l.Rec[recOutcome].Store(outcomeGot)
	l.got()
	if op != opLockUntil { // nobody gives a permit or a ticket back
		l.done()
	}
	return err
}

// check says what waits cost and whether the accounts are right.
func (t *timeoutsArea) check(a *arena.Arena, f *Findings) {
	var parts Findings // their notes are those of other scenarios
	t.M.check(a, &parts)
	t.S.check(&parts)
	t.Box.check(a, &parts)
	t.Q.recount(a)
	f.Faults = append(f.Faults, parts.Faults...)
	f.Notes = append(f.Notes, parts.Notes[0]) // what the mutex lost
	if n := t.NoFilter.Load(); n != 0 {
		f.Notes = append(f.Notes, "(no seccomp filter here: futex_waitv everywhere)")
	} else if !refuse.KernelHasWaitv() {
		f.Notes = append(f.Notes, "(this kernel has no futex_waitv)")
	}
}
