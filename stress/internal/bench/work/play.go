package work

import (
	"fmt"
	"sync/atomic"
	"time"

	"interlock/stress/internal/arena"
)

// A Link is one side's way to send a message to the other, and to wait for one.
// A message is a number above 0, so that a lost or doubled one is found out; Recv
// returns 0 where nothing is carried but that a message came.
type Link interface {
	Send(n uint64) error
	Recv() (n uint64, err error)
}

// A Player is one side of two that take turns.
type Player struct {
	Link  Link
	Think time.Duration  // how long it lets the other wait before it sends
	Over  *atomic.Uint32 // shared: what is under way is the slice's last message
	sent  uint64
}

// Play takes part until there are no more orders: side 0 begins, and measures the
// time of a message there and back; side 1 answers.
func (p *Player) Play(c *Conn, side int) error {
	if err := c.Say("ready"); err != nil {
		return err
	}
	return c.Serve(func(o Order) (a Answer, err error) {
		if side == 1 {
			return a, p.pong()
		}
		do := func(n int) {
			if err == nil {
				err = p.ping(n)
			}
		}
		a = o.Batches(do)
		p.Over.Store(1)
		do(1)
		p.Over.Store(0)
		return a, err
	})
}

// mostMessages is where the numbers begin again: some links have 32 bits, and need
// one of them.
const mostMessages = 1 << 30

// ping sends and waits for the answer, n times.
func (p *Player) ping(n int) error {
	for range n {
		p.sent = p.sent%mostMessages + 1
		p.pause()
		if err := p.Link.Send(p.sent); err != nil {
			return err
		}
		got, err := p.Link.Recv()
		if err != nil {
			return err
		}
		if got != p.sent && got != 0 {
			return fmt.Errorf("%w: message %d came instead of %d", ErrBroke, got, p.sent)
		}
	}
	return nil
}

// pong answers until the last message has come.
func (p *Player) pong() error {
	for {
		n, err := p.Link.Recv()
		if err != nil {
			return err
		}
		over := p.Over.Load() != 0
		p.pause()
		if err := p.Link.Send(n); err != nil {
			return err
		}
		if over {
			return nil
		}
	}
}

func (p *Player) pause() {
	if p.Think > 0 {
		for until := arena.Now() + int64(p.Think); arena.Now() < until; {
		}
	}
}
