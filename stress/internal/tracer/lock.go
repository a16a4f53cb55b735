package tracer

import (
	"context"
	"errors"
	"sync"
	"time"

	"interlock/mutex"
	"interlock/stress/internal/arena"
)

// The plays about a mutex. In most of them the others want it too, and are told of the
// victim's death exactly if it died holding it.

func init() {
	register(map[string]order{
		"lock":   func(a *actor, _ uint64) string { return a.lockOnce() },
		"hold":   func(a *actor, _ uint64) string { return a.lock() },
		"unlock": func(a *actor, _ uint64) string { a.unlock(); return "ok" },
		"swap":   func(a *actor, _ uint64) string { a.unlock(); return a.lockOnce() },
		"barge":  barge,
	})
}

// How the victim's repair ends, in Fail.
const (
	failing    = 1
	condemning = 2
)

// repair is every actor's. The victim's own goes on as Fail says, and is one of the
// places where it can be met.
func (a *actor) repair(pid int) error {
	st := a.st
	st.Inside.Store(0) // the dead one's
	if !a.acting {
		if n := st.Repairs.Add(1); n <= uint32(len(st.DeadPID)) {
			st.DeadPID[n-1].Store(uint32(pid))
		}
		return nil
	}
	a.inside()
	switch st.Fail.Load() {
	case failing:
		return errors.New("cannot")
	case condemning:
		return mutex.ErrNotRecoverable
	}
	st.Mended.Add(1)
	return nil
}

// inside is for a victim's callback: others come meanwhile, if they do, and say when.
func (a *actor) inside() {
	a.st.Said.Store(saidInside)
	for a.st.Release.Load() == 0 {
		time.Sleep(20 * time.Microsecond)
	}
	a.st.Said.Store(saidBegun)
}

func (a *actor) in() {
	if !a.st.Inside.CompareAndSwap(0, a.pid) {
		a.st.fault(faultTwoInside)
	}
}

func (a *actor) out() {
	if !a.st.Inside.CompareAndSwap(a.pid, 0) {
		a.st.fault(faultTwoInside)
	}
}

func (a *actor) lock() string {
	err := a.st.M.LockContext(bg)
	if err == nil {
		a.in()
	}
	return said(err)
}

func (a *actor) unlock() {
	a.out()
	a.st.M.Unlock()
}

func (a *actor) lockOnce() string {
	s := a.lock()
	if s == "ok" {
		a.unlock()
	}
	return s
}

// bargePause leaves the others a CPU.
const bargePause = 20 * time.Microsecond

// barge locks whenever it can, and tries when it cannot.
func barge(a *actor, _ uint64) string {
	for i := 0; a.st.Stop.Load() == 0; i++ {
		time.Sleep(bargePause)
		if s := a.bargeOnce(i%4 == 0); s != "ok" {
			return s
		}
	}
	return a.lockOnce()
}

func (a *actor) bargeOnce(waits bool) (s string) {
	if waits {
		return a.lockOnce()
	}
	defer func() {
		if err, ok := recover().(error); ok { // TryLock panics with what LockContext returns
			s = said(err)
		}
	}()
	if a.st.M.TryLock() {
		a.in()
		a.unlock()
	}
	return "ok"
}

var (
	lockPlay = play{name: "Lock", crowds: mutexCrowds, script: wantsLock, prepare: warmUp,
		act: func(a *actor) { a.st.M.Lock(); a.in() }}
	firstPlay = play{name: "Lock, first of its process", crowds: mutexCrowds, script: wantsLock,
		act: func(a *actor) { a.st.M.Lock(); a.in() }}
	lockContextPlay = play{name: "LockContext", crowds: mutexCrowds, script: wantsLock, prepare: warmUp,
		act: func(a *actor) {
			ctx, cancel := context.WithTimeout(bg, time.Minute)
			defer cancel()
			if a.st.M.LockContext(ctx) == nil {
				a.in()
			}
		}}
	giveUpPlay = play{name: "LockContext, given up", crowds: mutexOthers, script: givesUpLock, prepare: warmUp,
		act: func(a *actor) {
			ctx, cancel := a.untilCancelled()
			defer cancel()
			if a.st.M.LockContext(ctx) == nil {
				a.in()
			}
		}}
	tryLockPlay = play{name: "TryLock", crowds: mutexCrowds, script: triesLock, prepare: warmUp,
		act: func(a *actor) {
			if a.st.M.TryLock() {
				a.in()
			}
		}}
	unlockPlay = play{name: "Unlock", crowds: mutexCrowds, script: unlocks, prepare: func(a *actor) { a.st.M.Lock(); a.in() },
		act: func(a *actor) { a.unlock() }}
	repairPlay = play{name: "a repair", crowds: mutexCrowds, script: repairs(0), prepare: warmUp,
		act: func(a *actor) {
			if a.st.M.LockContext(bg) == nil {
				a.in()
				a.unlock()
			}
		}}
	ownerDiesPlay = play{name: "Lock, its owner dies", crowds: mutexOthers, script: ownerDies, prepare: warmUp, first: true,
		act: func(a *actor) {
			if a.st.M.LockContext(bg) == nil {
				a.in()
				a.unlock()
			}
		}}
	failPlay = play{name: "a repair that fails", crowds: mutexCrowds, script: repairs(failing), prepare: warmUp,
		act: func(a *actor) { _ = a.st.M.LockContext(bg) }}
	condemnPlay = play{name: "a repair that condemns", crowds: mutexCrowds, script: repairs(condemning), prepare: warmUp,
		act: func(a *actor) { _ = a.st.M.LockContext(bg) }}
	queuePlay = play{name: "Lock by three goroutines", crowds: mutexOthers, script: wantsLock, prepare: warmUp,
		act: func(a *actor) { a.three(func() { a.st.M.Lock(); a.in(); a.unlock() }) }}
)

// warmUp does what the first lock and the first wait of a process do, and no other: they
// have a play of their own.
func warmUp(a *actor) {
	a.st.M.Lock()
	ctx, cancel := context.WithTimeout(bg, time.Microsecond)
	defer cancel()
	_ = a.st.M.LockContext(ctx)
	a.st.M.Unlock()
}

// untilCancelled has a deadline, which is far, and is cancelled when Cancel is set.
func (a *actor) untilCancelled() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(bg, time.Minute)
	go func() {
		for a.st.Cancel.Load() == 0 {
			time.Sleep(50 * time.Microsecond)
		}
		cancel()
	}()
	return ctx, cancel
}

// three has three goroutines do the same: one of them sleeps in the kernel for all.
func (a *actor) three(f func()) {
	var group sync.WaitGroup
	for range 3 {
		group.Add(1)
		go func() {
			defer group.Done()
			f()
		}()
	}
	group.Wait()
}

func (r *round) mutexOffset() uintptr {
	return uintptr(arena.Address(&r.st.M) - arena.Address(r.st))
}

// wantsLock: the victim locks. In a crowd another process holds the mutex until the
// victim sleeps for it, and wants it again at once.
func wantsLock(r *round) error {
	if r.crowd >= sleeper {
		if err := r.a.ask("hold"); err != nil {
			return err
		}
	}
	if err := r.bargers("barge"); err != nil {
		return err
	}
	r.open()
	r.st.Release.Store(1)
	if r.crowd >= sleeper {
		r.victimSleeps(r.mutexOffset())
		if err := r.a.tell("swap"); err != nil {
			return err
		}
	}
	r.awaitDeath()
	return r.proceed(r.truth.held)
}

// proceed: everybody gets the mutex, and is told what there is to tell.
func (r *round) proceed(wake bool) error {
	if !r.a.owes {
		if err := r.a.tell("lock"); err != nil {
			return err
		}
	}
	if err := r.done(r.a, "ok", wake); err != nil {
		return err
	}
	if err := r.dismiss(); err != nil {
		return err
	}
	if r.b.owes {
		if err := r.done(r.b, "ok", wake); err != nil {
			return err
		}
	}
	if err := r.then(r.b, "lock"); err != nil {
		return err
	}
	return r.repairs()
}

// givesUpLock: one process holds the mutex, and another sleeps for it, until the victim
// has given up or died.
func givesUpLock(r *round) error {
	if err := r.a.ask("hold"); err != nil {
		return err
	}
	if err := r.b.tell("lock"); err != nil {
		return err
	}
	if err := r.b.awaitAsleep(r.mutexOffset()); err != nil {
		return err
	}
	if err := r.bargers("barge"); err != nil {
		return err
	}
	r.open()
	r.cancelAsleep(r.mutexOffset())
	if err := r.a.ask("unlock"); err != nil {
		return err
	}
	return r.proceed(false)
}

// triesLock: alone the victim gets it; in a crowd it does not.
func triesLock(r *round) error {
	if r.crowd == alone {
		return wantsLock(r)
	}
	return givesUpLock(r)
}

// unlocks: the victim unlocks, and one sleeps for that.
func unlocks(r *round) error {
	if r.crowd >= sleeper {
		if err := r.a.tell("lock"); err != nil {
			return err
		}
		if err := r.a.awaitAsleep(r.mutexOffset()); err != nil {
			return err
		}
	}
	if err := r.bargers("barge"); err != nil {
		return err
	}
	r.open()
	r.awaitDeath()
	return r.proceed(r.truth.held || r.truth.ended)
}
