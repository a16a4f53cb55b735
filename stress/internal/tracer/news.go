package tracer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"interlock/stress/internal/arena"
)

// The plays about a condition variable. Items are what is waited for. No death may keep
// the living from an item that is there, beyond a look, nor from the next signal.

func init() {
	register(map[string]order{
		"consume":   func(a *actor, _ uint64) string { return a.consume() },
		"produce":   func(a *actor, n uint64) string { return a.produce(uint32(n)) },
		"signal":    func(a *actor, _ uint64) string { a.st.C.Signal(); return "ok" },
		"broadcast": func(a *actor, _ uint64) string { a.st.C.Broadcast(); return "ok" },
	})
}

// consume waits for an item and takes it.
func (a *actor) consume() string {
	if s := a.lock(); s != "ok" {
		return s
	}
	if err := a.waitFor(bg); err != nil {
		return said(err)
	}
	a.unlock()
	return "ok"
}

// waitFor waits, holding the mutex, until there is an item, and takes it.
func (a *actor) waitFor(ctx context.Context) error {
	for a.st.Items.Load() == 0 {
		a.out()
		err := a.st.C.WaitContext(ctx, &a.st.M)
		a.in()
		if err != nil {
			return err
		}
	}
	a.st.Items.Add(^uint32(0))
	return nil
}

func (a *actor) produce(n uint32) string {
	if s := a.lock(); s != "ok" {
		return s
	}
	a.st.Items.Add(n)
	if n == 1 {
		a.st.C.Signal()
	} else {
		a.st.C.Broadcast()
	}
	a.unlock()
	return "ok"
}

func holds(a *actor) { a.st.M.Lock(); a.in() }

var (
	waitPlay = play{name: "Wait", crowds: crowds, script: waits(1), prepare: holds,
		act: func(a *actor) {
			for a.st.Items.Load() == 0 {
				a.out()
				a.st.C.Wait(&a.st.M)
				a.in()
			}
			a.st.Items.Add(^uint32(0))
		}}
	waitGiveUpPlay = play{name: "WaitContext, given up", crowds: crowds, script: givesUpNews, prepare: holds,
		act: func(a *actor) {
			ctx, cancel := a.untilCancelled()
			defer cancel()
			if a.waitFor(ctx) != nil {
				a.unlock()
			}
		}}
	signalPlay = play{name: "Signal", crowds: crowds, script: signals(1), prepare: func(a *actor) { a.produceSilently(1) },
		act: func(a *actor) { a.st.C.Signal() }}
	broadcastPlay = play{name: "Broadcast", crowds: crowds, script: signals(2), prepare: func(a *actor) { a.produceSilently(2) },
		act: func(a *actor) { a.st.C.Broadcast() }}
	waitQueuePlay = play{name: "Wait by three goroutines", crowds: []crowd{sleeper, barger}, script: waits(3), prepare: warmUp,
		act: func(a *actor) { a.three(func() { a.consume() }) }}
)

func (a *actor) produceSilently(n uint32) {
	a.st.M.Lock()
	a.st.Items.Add(n)
	a.st.M.Unlock()
}

func (r *round) newsOffset() uintptr {
	return uintptr(arena.Address(&r.st.C) - arena.Address(r.st))
}

// waits: the victim waits for n items, in a crowd with another one that waits behind it.
// n items come. What the victim has not taken is another one's.
func waits(n uint32) func(r *round) error {
	return func(r *round) error {
		if err := r.bargers("barge"); err != nil {
			return err
		}
		r.open()
		r.victimSleeps(r.newsOffset())
		if r.crowd >= sleeper {
			if err := r.b.tell("consume"); err != nil {
				return err
			}
			r.sleepsOrAnswers(r.b, r.newsOffset())
		}
		if err := r.a.tell("produce %d", n); err != nil {
			return err
		}
		for taken := false; !r.isDead(); time.Sleep(50 * time.Microsecond) {
			// It was not the victim who took the last, but the other one: one more.
			if !taken && r.b.owes && r.b.answered() && r.a.answered() && r.st.Items.Load() == 0 {
				taken = true
				if err := errors.Join(r.a.await(), r.a.tell("produce 1")); err != nil {
					return err
				}
			}
		}
		if err := r.done(r.a, "ok", r.truth.held); err != nil {
			return err
		}
		return r.consumed()
	}
}

// consumed: who waits gets an item if one is left, and if not, the next.
func (r *round) consumed() error {
	if !r.b.owes {
		if err := r.b.tell("consume"); err != nil {
			return err
		}
	}
	for begin := time.Now(); !r.b.answered() && time.Since(begin) < limit; time.Sleep(50 * time.Microsecond) {
		if r.st.Items.Load() == 0 && r.b.asleep(r.newsOffset()) {
			r.b.restart()
			if err := r.then(r.a, "produce 1"); err != nil {
				return err
			}
			break
		}
	}
	if err := r.done(r.b, "ok", false); err != nil {
		return err
	}
	if err := r.dismiss(); err != nil {
		return err
	}
	if err := r.then(r.a, "lock"); err != nil {
		return err
	}
	return r.repairs()
}

// givesUpNews: the victim's wait is cancelled; another one waits on, and is signalled.
func givesUpNews(r *round) error {
	if err := r.bargers("barge"); err != nil {
		return err
	}
	r.open()
	if r.crowd >= sleeper {
		r.victimSleeps(r.newsOffset())
		if err := r.b.tell("consume"); err != nil {
			return err
		}
		r.sleepsOrAnswers(r.b, r.newsOffset())
	}
	r.cancelAsleep(r.newsOffset())
	if err := r.then(r.a, "produce 1"); err != nil {
		return err
	}
	return r.consumed()
}

// signals: n are there for n items, and the victim says so to them. If it had counted
// its news, they learn of it; if not, the next who has news tells them.
func signals(n int) func(r *round) error {
	return func(r *round) error {
		items := r.st.Items.Swap(0)
		waiters := []*member{r.a, r.b}[:n]
		for _, m := range waiters[:n*int(min(r.crowd, sleeper))] {
			if err := m.tell("consume"); err != nil {
				return err
			}
			if err := m.awaitAsleep(r.newsOffset()); err != nil {
				return err
			}
		}
		r.st.Items.Store(items)
		if err := r.bargers("barge"); err != nil {
			return err
		}
		before := arena.Word(&r.st.C, 0)
		r.open()
		r.awaitDeath()
		counted := arena.Word(&r.truth.stage.C, 0) != before
		if r.truth.ended && !counted {
			return fmt.Errorf("the victim came to its end, and the count has not moved")
		}
		return r.told(waiters, counted)
	}
}

func (r *round) told(waiters []*member, counted bool) error {
	if err := r.dismiss(); err != nil {
		return err
	}
	if !counted {
		r.st.Items.Add(1)
		r.c.restart()
		if err := r.c.ask("broadcast"); err != nil {
			return err
		}
	}
	for _, m := range waiters {
		if !m.owes {
			if err := m.tell("consume"); err != nil {
				return err
			}
		}
		if err := r.done(m, "ok", r.truth.ended || !counted); err != nil {
			return err
		}
	}
	return r.proceedQuietly()
}

// proceedQuietly: the mutex is free, and nobody died holding it.
func (r *round) proceedQuietly() error {
	if err := r.then(r.a, "lock"); err != nil {
		return err
	}
	return r.repairs()
}
