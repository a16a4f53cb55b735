package tracer

import (
	"fmt"
	"time"

	"interlock/stress/internal/arena"
)

// The plays about a semaphore. It has no owner: what must hold is that no permit is
// lost but one that the victim had taken, none is made, and nobody sleeps on beside
// one.

func init() {
	register(map[string]order{
		"acquire":     func(a *actor, _ uint64) string { return said(a.st.S.Acquire(bg)) },
		"release":     func(a *actor, _ uint64) string { return said(a.st.S.Release()) },
		"try-acquire": func(a *actor, _ uint64) string { return yesNo(a.st.S.TryAcquire()) },
		"churn":       churn,
	})
}

func yesNo(yes bool) string {
	if yes {
		return "ok"
	}
	return "none"
}

// churn takes what permits it can get, and gives each back.
func churn(a *actor, _ uint64) string {
	for a.st.Stop.Load() == 0 {
		time.Sleep(bargePause)
		if a.st.S.TryAcquire() {
			if err := a.st.S.Release(); err != nil {
				return said(err)
			}
		}
	}
	return "ok"
}

var (
	acquirePlay = play{name: "Acquire", crowds: crowds, script: acquires(1),
		act: func(a *actor) { _ = a.st.S.Acquire(bg) }}
	acquireGiveUpPlay = play{name: "Acquire, given up", crowds: []crowd{sleeper, barger}, script: givesUpPermit,
		act: func(a *actor) {
			ctx, cancel := a.untilCancelled()
			defer cancel()
			_ = a.st.S.Acquire(ctx)
		}}
	tryAcquirePlay = play{name: "TryAcquire", crowds: []crowd{alone, lone}, script: triesToAcquire,
		act: func(a *actor) { a.st.S.TryAcquire() }}
	releasePlay = play{name: "Release", crowds: crowds, script: releases,
		act: func(a *actor) { _ = a.st.S.Release() }}
	acquireQueuePlay = play{name: "Acquire by three goroutines", crowds: []crowd{sleeper, barger}, script: acquires(3),
		act: func(a *actor) { a.three(func() { _ = a.st.S.Acquire(bg) }) }}
)

func (r *round) permitOffset() uintptr {
	return uintptr(arena.Address(&r.st.S) - arena.Address(r.st))
}

func permits(st *stage) int { return int(st.S.Value()) }

// acquires: the victim wants n permits. In a crowd there are none until it sleeps, and
// then n, while another process sleeps behind it.
func acquires(n int) func(r *round) error {
	return func(r *round) error {
		given := n
		if r.crowd == alone {
			r.st.S.Init(uint32(n))
		}
		if err := r.bargers("churn"); err != nil {
			return err
		}
		r.open()
		if r.crowd != alone {
			r.victimSleeps(r.permitOffset())
			if err := r.a.tell("acquire"); err != nil {
				return err
			}
			r.sleepsOrAnswers(r.a, r.permitOffset())
			for range n {
				if err := r.b.ask("release"); err != nil {
					return err
				}
			}
		}
		given += r.untilDeath(r.a, func() bool { return permits(r.st) == 0 }, "release")
		return r.account(given, n)
	}
}

// triesToAcquire: there is a permit, which others take and give back.
func triesToAcquire(r *round) error {
	r.st.S.Init(1)
	if r.crowd == lone {
		if err := r.c.tell("churn"); err != nil {
			return err
		}
	}
	r.open()
	r.awaitDeath()
	if err := r.dismiss(); err != nil {
		return err
	}
	if n := permits(r.st); n > 1 || r.truth.ended && r.crowd == alone && n != 0 {
		return fmt.Errorf("of one permit there are %d; the victim came to its end: %v", n, r.truth.ended)
	}
	return r.stillWorks()
}

// untilDeath brings one more if it was not the victim who took the last, but m. It
// returns how many it has brought.
func (r *round) untilDeath(m *member, none func() bool, order string) (brought int) {
	for !r.isDead() {
		if brought == 0 && m.owes && m.answered() && none() && r.b.tell(order) == nil {
			brought = 1
		}
		time.Sleep(50 * time.Microsecond)
	}
	return brought
}

// account: of the permits given the victim took up to most, and exactly that many if it
// came to its end. The others are there, or become another one's.
func (r *round) account(given, most int) error {
	if err := r.b.await(); err != nil {
		return err
	}
	if err := r.dismiss(); err != nil {
		return err
	}
	taken := 0
	if r.a.owes {
		if err := r.permitOrNone(r.a); err != nil {
			return err
		}
		taken++
		if r.lent {
			given++
		}
	}
	lost := given - taken - permits(r.st)
	if lost < 0 || lost > most || r.truth.ended && lost != most {
		return fmt.Errorf("%d permits given, %d taken by survivors, %d there; the victim came to its end: %v", given, taken, permits(r.st), r.truth.ended)
	}
	return r.stillWorks()
}

// permitOrNone waits until the sleeper has a permit. If there is none for it, since the
// victim took it along, it is lent one.
func (r *round) permitOrNone(m *member) error {
	for begin := time.Now(); !m.answered() && time.Since(begin) < limit; time.Sleep(50 * time.Microsecond) {
		if m.asleep(r.permitOffset()) && permits(r.st) == 0 {
			r.lent = true
			m.restart()
			if err := r.b.ask("release"); err != nil {
				return err
			}
			return r.done(m, "ok", true)
		}
	}
	return r.done(m, "ok", false)
}

// stillWorks: what is given can be taken, by others.
func (r *round) stillWorks() error {
	if err := r.then(r.a, "release"); err != nil {
		return err
	}
	return r.then(r.b, "acquire")
}

// givesUpPermit: the victim waits in vain, behind another one, which then gets a permit.
func givesUpPermit(r *round) error {
	if err := r.a.tell("acquire"); err != nil {
		return err
	}
	if err := r.a.awaitAsleep(r.permitOffset()); err != nil {
		return err
	}
	if err := r.bargers("churn"); err != nil {
		return err
	}
	r.open()
	r.cancelAsleep(r.permitOffset())
	if err := r.b.ask("release"); err != nil {
		return err
	}
	if err := r.done(r.a, "ok", false); err != nil {
		return err
	}
	if err := r.dismiss(); err != nil {
		return err
	}
	if n := permits(r.st); n != 0 {
		return fmt.Errorf("one permit was given and taken, and there are %d", n)
	}
	return r.stillWorks()
}

// releases: the victim gives a permit. If it is there, a sleeper gets it, by the wake or
// by a look; if it is not, the next one wakes the sleeper.
func releases(r *round) error {
	if r.crowd >= sleeper {
		if err := r.a.tell("acquire"); err != nil {
			return err
		}
		if err := r.a.awaitAsleep(r.permitOffset()); err != nil {
			return err
		}
	}
	if err := r.bargers("churn"); err != nil {
		return err
	}
	r.open()
	r.awaitDeath()
	if err := r.dismiss(); err != nil {
		return err
	}
	taken, lent := 0, 0
	if r.crowd >= sleeper {
		taken = 1
		if err := r.permitOrNone(r.a); err != nil {
			return err
		}
		if r.lent {
			lent = 1
		}
	}
	given := permits(r.st) + taken - lent
	if given < 0 || given > 1 || r.truth.ended && given != 1 {
		return fmt.Errorf("the victim has given %d permits; it came to its end: %v", given, r.truth.ended)
	}
	return r.stillWorks()
}
