package scenario

import (
	"fmt"
	"time"

	"interlock/stress/internal/arena"
)

// conductor gives orders to workers and waits for what must come of them.
type conductor struct {
	st     Stage
	a      *arena.Arena
	number uint32   // of the last order
	orders []uint32 // the last order to each slot
}

func newConductor(st Stage) *conductor {
	a := st.Arena()
	return &conductor{st: st, a: a, orders: make([]uint32, a.Procs.Load())}
}

// order has slot do something, and returns at once.
func (c *conductor) order(slot int, op uint32) {
	c.number++
	c.orders[slot] = c.number<<8 | op
	c.a.Slot(slot).Command.Store(c.orders[slot])
}

// done says whether slot has carried out its last order.
func (c *conductor) done(slot int) bool { return c.a.Slot(slot).Reply.Load() == c.orders[slot] }

// do orders and waits until it is done; false: the run is broken off.
func (c *conductor) do(slot int, op uint32) bool {
	c.order(slot, op)
	return c.until(fmt.Sprintf("worker %d does not finish order %d", slot, op), func() bool { return c.done(slot) })
}

// until waits for a condition. That it never comes is a hang.
func (c *conductor) until(what string, cond func() bool) bool {
	for p := c.patience(); !cond(); {
		if p.out() {
			c.st.Hang("%s", what)
			return false
		}
		if !c.rest(100 * time.Microsecond) {
			return false
		}
	}
	return true
}

func (c *conductor) rest(t time.Duration) bool {
	time.Sleep(t)
	return !c.st.Over()
}

// patience runs out when nothing has happened for the run's time of a hang. Time
// in which this process itself was kept from running counts little: then the
// workers may have been, too. Nor does the time that it takes to replace a worker.
type patience struct {
	st   Stage
	left time.Duration
	last time.Time
}

func (c *conductor) patience() *patience { return &patience{c.st, c.st.Patience(), time.Now()} }

func (p *patience) out() bool {
	now := time.Now()
	if !p.st.Slow() {
		p.left -= min(now.Sub(p.last), 20*time.Millisecond)
	}
	p.last = now
	return p.left < 0
}

// follower is a worker's side of it: it carries out each order once.
type follower struct {
	seen uint32
	idle int // looks since the last order
}

// follow takes up the orders from here on: those to a predecessor are not ours.
func follow(w *Worker) *follower { return &follower{seen: w.Slot.Command.Load()} }

// step carries out an order, if there is a new one, and says when it is done.
// The first looks come close together, as orders do.
func (f *follower) step(l *Lane, obey func(l *Lane, order uint32) error) error {
	order := l.W.Slot.Command.Load()
	if order == f.seen {
		f.idle++
		time.Sleep(50 * time.Microsecond << min(f.idle/100, 4))
		return nil
	}
	f.seen, f.idle = order, 0
	err := obey(l, order)
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
	l.W.Slot.Reply.Store(order)
	return err
}
