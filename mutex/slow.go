package mutex

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"interlock/futex"
	"interlock/internal/inherit"
	"interlock/internal/mark"
	"interlock/internal/park"
	"interlock/internal/proc"
	"interlock/internal/race"
	"interlock/internal/region"
	"interlock/internal/robust"
	"interlock/internal/sigbus"
	"interlock/internal/spin"
)

func init() {
	inherit.Lock = func(ctx context.Context, m any) (err error) {
		defer sigbus.Caught(&err, sigbus.Faults()) // P-K6
		return m.(*Mutex).hold(ctx, plan{orphan: true})
	}
	inherit.Take = func(ctx context.Context, m any) error { return m.(*Mutex).hold(ctx, plan{orphan: true, bare: true}) }
	inherit.Orphan = func(m any) bool { return m.(*Mutex).owner.Load() == inconsistent }
	inherit.Whole = func(m any) {
		if m := m.(*Mutex); m.owner.Load() != 0 { // a load is cheaper, and seqlocks ask at each write
			m.owner.Store(0)
		}
	}
	inherit.Held = func(m any) bool { return m.(*Mutex).held() }
	inherit.WriterGone = func(m any) bool { return m.(*Mutex).ownerGone() }
}

// lockSlow and its like are apart from the fast paths so that those stay small.
//
//go:noinline
func (m *Mutex) lockSlow() {
	if err := m.lock(context.Background(), plan{}); err != nil {
		panic(err)
	}
}

//go:noinline
func (m *Mutex) lockOvertaken() {
	if !m.overtaken() {
		m.lockSlow()
	}
}

func (m *Mutex) tryLockSlow() bool {
	err := m.enroll()
	done := err != nil
	if !done {
		done, err = m.try(context.Background(), plan{})
	}
	if !done && m.bury(false) {
		done, err = m.try(context.Background(), plan{})
	}
	if err != nil {
		panic(err)
	}
	return done
}

// hold is lock for condvar and seqlock, with plan.orphan: m is held if it
// returns nil or ErrOwnerDead.
func (m *Mutex) hold(ctx context.Context, p plan) (err error) {
	if !m.lockFast() {
		if err = m.lock(ctx, p); err != nil && !errors.Is(err, ErrOwnerDead) {
			return err
		}
	}
	race.Acquire(m.addr())
	return err
}

// lock is the way to hold m when the fast path failed: enroll, spin a little,
// queue.
func (m *Mutex) lock(ctx context.Context, p plan) (err error) {
	defer sigbus.Caught(&err, sigbus.Faults()) // P-K6
	if err := m.enroll(); err != nil {
		return err
	}
	if park.MayOvertake(&m.word) {
		if done, err := m.spinFor(ctx, p); done {
			return err
		}
	}
	rounds := park.Rounds()
	err = m.queue(ctx, p)
	if err != nil && errors.Is(err, ctx.Err()) && park.Rounds()-rounds < enoughLooks && m.bury(true) {
		if done, inherited := m.try(ctx, p); done {
			return inherited
		}
	}
	return err
}

// enoughLooks find any death while one waits.
const enoughLooks = 2

func isOurs(v uint32) bool {
	return v&robust.OwnerDied == 0 && v&robust.TIDMask == proc.TID(proc.Me())
}

// enroll prepares what must be true before this process may take the word:
// the memory holds a mutex we can use, and the kernel will find it when we die.
func (m *Mutex) enroll() error {
	if m.addr()%8 != 0 {
		panic(fmt.Sprintf("mutex: %#x is not a multiple of 8", m.addr()))
	}
	proc.Start()
	if err := m.checkKind(); err != nil {
		return err
	}
	if last := m.prev.Load(); region.IsReadOnly(m.addr()) || last != proc.Me() && last != proc.Unlinked(proc.Me()) && !proc.Linked(m.addr()) {
		if err := m.checkWritable(); err != nil {
			return err
		}
		region.Note(m.addr())
	}
	proc.Link(m.addr())
	return nil
}

// checkWritable is for the first time here: a store to read-only memory would
// be fatal.
func (m *Mutex) checkWritable() error {
	if err := futex.CheckWritable(&m.word); err != nil {
		return fmt.Errorf("mutex: cannot write to the memory at %#x: %w", m.addr(), err)
	}
	return nil
}

func (m *Mutex) checkKind() error {
	if k := m.kind.Load(); k != 0 && k&^kindTypes != kindRobust {
		return m.fail(ErrNotShared)
	}
	return nil
}

// try makes one attempt. It is done when m is held, or when err says why it
// will not be; not done means that somebody else holds it.
func (m *Mutex) try(ctx context.Context, p plan) (done bool, err error) {
	for {
		v := m.word.Load()
		switch {
		case proc.Foreign(m.next.Load()):
			return true, m.fail(ErrPIDNamespace)
		case m.owner.Load() == notRecoverable:
			// Also if somebody holds it: the one who condemns it, a moment
			// longer, or a C peer whose trylock has said so and kept it.
			m.passOn()
			return true, m.fail(ErrNotRecoverable)
		case v&robust.OwnerDied != 0:
			if done, err := m.inherit(ctx, v, p); done {
				return true, err
			}
		case v&robust.TIDMask != 0:
			return false, nil
		default:
			// E-M1, or E-M3 for one that has slept (INV-M3).
			if m.word.CompareAndSwap(v, proc.TID(proc.Me())|v&robust.Waiters|p.waiters) {
				mark.At("E-M3 taken not recorded")
				held, err := m.settle()
				return held || err != nil, err
			}
		}
	}
}

// overtaken ends a fast path that took the word of a mutex which another
// process had held in the meantime. It reports whether m is held.
func (m *Mutex) overtaken() bool {
	held, _ := m.settle()
	return held
}

// flagWaiters is E-M2. It returns the word, with WAITERS if somebody holds it.
func (m *Mutex) flagWaiters() uint32 {
	v := m.word.Load()
	for v&robust.TIDMask != 0 && v&robust.OwnerDied == 0 && v&robust.Waiters == 0 {
		if m.word.CompareAndSwap(v, v|robust.Waiters) { // E-M2
			return v | robust.Waiters
		}
		v = m.word.Load()
	}
	return v
}

// Spinning pays while the holder runs on another CPU and is about to unlock.
// It reads only: CASes of spinners would take the cache line from the holder.
const (
	spinRounds = 40
	spinPauses = 20
)

var (
	maxSpinners = int32(runtime.NumCPU() / 2) // none on one CPU: the holder could not run
	spinners    atomic.Int32
)

func (m *Mutex) spinFor(ctx context.Context, p plan) (done bool, err error) {
	if done, err = m.try(ctx, p); done {
		return true, err
	}
	defer spinners.Add(-1) // also when a repair panics
	if spinners.Add(1) <= maxSpinners && runtime.GOMAXPROCS(0) > 1 {
		for range spinRounds {
			spin.Pause(spinPauses)
			if done, err = m.try(ctx, p); done {
				break
			}
		}
	}
	return done, err
}

// unlockSlow is Unlock when somebody sleeps, or goroutines of this process
// queue, or m is not ours to unlock.
func (m *Mutex) unlockSlow() {
	if v, ok := m.letGo(); !ok {
		m.notOurs(v)
	}
}

// letGo is not ok, and does nothing, if this process does not hold m: v is what
// the word is.
func (m *Mutex) letGo() (v uint32, ok bool) {
	v = m.word.Load()
	if !isOurs(v) {
		return v, false
	}
	if m.owner.Load() == inconsistent { // INV-M4: then WAITERS is set and we are here
		m.giveUp()
		return v, true
	}
	next := park.HandOver(&m.word, v&robust.Waiters != 0)
	switch next {
	case park.HandedOver: // E-M11
		return v, true
	case park.GiveTurn: // E-M12: no newcomer of ours may take it by the fast path
		m.prev.Store(proc.Unlinked(proc.Me()))
	}
	v, woken, ok := m.release(1)
	switch {
	case !ok:
	case next == park.GiveTurn:
		park.Turned(&m.word, woken > 0)
	case runtime.GOMAXPROCS(0) == 1:
		runtime.Gosched() // whom we called has no other P to run on
	}
	return v, ok
}

// notOurs is the panic for unlocking what this process does not hold. The word
// is unchanged.
func (m *Mutex) notOurs(v uint32) {
	if v&robust.TIDMask == 0 {
		panic("mutex: unlock of unlocked mutex")
	}
	pid, _ := m.ownerNow()
	panic(fmt.Sprintf("mutex: unlock of a mutex held by process %d", pid))
}

func (m *Mutex) held() bool { return isOurs(m.word.Load()) }

func (m *Mutex) fail(cause error) error {
	e := &Error{Err: cause}
	e.PID, _ = m.ownerNow()
	return e
}
