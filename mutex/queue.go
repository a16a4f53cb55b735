package mutex

import (
	"context"
	"time"

	"interlock/internal/mark"
	"interlock/internal/park"
	"interlock/internal/region"
	"interlock/internal/robust"
)

// A waiting is one call of lock that has to queue.
type waiting struct {
	m    *Mutex
	w    *park.Waiter
	plan plan
	look *looker
	owes bool // it has used up a wake, and not set WAITERS since: INV-M3
	held bool // it has the mutex
}

// queue waits among the goroutines of this process: listening while it holds m,
// and the oldest asleep in the kernel while another process does.
//
// Where the memory is mapped twice, the holder may unlock at the other address,
// and would not see who listens at this one: there the oldest always sleeps. So
// does one that a look still finds waiting for its own process, for whatever reason.
func (m *Mutex) queue(ctx context.Context, p plan) (err error) {
	q := &waiting{m: m, plan: p, look: &looker{m: m}}
	q.look.sleeps.Store(region.Aliased(m.addr()))
	q.w = park.EnterLock(&m.word, q.look.look)
	defer q.leave() // also when a repair panics
	err = q.w.Listen(ctx)
	for err == nil && !q.w.Given() {
		if d := q.w.StandsBack(); d > 0 {
			err = q.standBack(ctx, d)
			continue
		}
		var done bool
		if done, err = m.try(ctx, q.plan); done {
			q.held = err == nil
			return err
		}
		err = q.pause(ctx)
	}
	q.held = err == nil // handed over, E-M11
	return err
}

// pause is what the waiter whose turn it is does while somebody holds m.
func (q *waiting) pause(ctx context.Context) error {
	m := q.m
	v, sleeps := m.word.Load(), q.look.sleeps.Load()
	if q.plan.waiters != 0 || sleeps || !isOurs(v) {
		v = m.flagWaiters() // INV-M2, INV-M3
		q.owes = q.owes && v&robust.Waiters == 0
	}
	switch {
	case v&robust.TIDMask == 0 || v&robust.OwnerDied != 0:
		return nil
	case isOurs(v) && !sleeps:
		if q.w.Expect(); !isOurs(m.word.Load()) { // INV-M7
			return nil
		}
		return q.w.Listen(ctx)
	}
	mark.At("E-M2 flagged not asleep")
	q.plan.waiters = robust.Waiters
	woken, err := q.w.Sleep(ctx, v)
	q.owes = q.owes || woken
	if woken {
		park.EndTurn(&m.word) // the turn that was given away has come back
	}
	return err
}

// standBack is E-M12: the free word is left to other processes, until one of
// them has come or the time is over.
func (q *waiting) standBack(ctx context.Context, limit time.Duration) error {
	q.plan.waiters = robust.Waiters
	woken, err := q.w.SleepFor(ctx, 0, limit)
	q.owes = q.owes || woken
	park.EndTurn(&q.m.word) // somebody has come, or nobody will
	return err
}

// leave ends the waiting. Who was handed the mutex at the moment of giving up,
// or of a repair's panic, passes it on; and so does who gives up with a wake
// that was meant for any sleeper.
func (q *waiting) leave() {
	given := false
	sleeps := q.look.sleeps.Load()
	if q.held && !sleeps {
		given = q.w.Settled()
	} else {
		given = q.w.Leave()
	}
	if given && q.plan.waiters != 0 || q.owes && !q.held {
		if v := q.m.flagWaiters(); v&robust.TIDMask == 0 { // INV-M3
			q.m.passOn()
		}
	}
	if given && sleeps {
		park.Call(&q.m.word) // the next one is to sleep, too
	}
	if given && !q.held {
		q.m.letGo() // nothing to let go if a peer has overwritten the word
	}
}
