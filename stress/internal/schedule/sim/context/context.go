// Package context stands in for the context of Go.
package context

import (
	"context"

	"interlock/stress/internal/schedule/sim"
	"interlock/stress/internal/schedule/sim/time"
)

// A Context is a context.Context with channels and times of the simulation.
type Context interface {
	Deadline() (deadline time.Time, ok bool)
	Done() *sim.Chan
	Err() error
}

// Errors.
var (
	Canceled         = context.Canceled
	DeadlineExceeded = context.DeadlineExceeded
)

// A CancelFunc ends a context.
type CancelFunc func()

type background struct{}

func (background) Deadline() (t time.Time, ok bool) { return t, false }
func (background) Done() *sim.Chan                  { return nil }
func (background) Err() error                       { return nil }

// Background is never done.
func Background() Context { return background{} }

// ended is a context that can be done.
type ended struct {
	at    time.Time // if timed
	timed bool
	done  *sim.Chan
	err   error
	calls []func()
	stop  func() bool // the timer
}

func (c *ended) Deadline() (time.Time, bool) { return c.at, c.timed }
func (c *ended) Done() *sim.Chan             { return c.done }
func (c *ended) Err() error                  { return c.err }

func (c *ended) end(why error) {
	if c.err != nil {
		return
	}
	c.err = why
	c.done.Close()
	for _, f := range c.calls {
		if f != nil {
			sim.Go(f)
		}
	}
}

// WithCancel is done when cancel is called.
func WithCancel(Context) (Context, CancelFunc) {
	c := &ended{done: sim.NewChan(0)}
	return c, func() { c.end(Canceled) }
}

// WithTimeout is done after d, too.
func WithTimeout(_ Context, d time.Duration) (Context, CancelFunc) {
	c := &ended{at: time.Time{At: sim.Now() + int64(d)}, timed: true, done: sim.NewChan(0)}
	c.stop = sim.AfterFunc(int64(d), func() { c.end(DeadlineExceeded) })
	return c, func() {
		c.stop()
		c.end(Canceled)
	}
}

// AfterFunc calls f in a goroutine of its own once ctx is done. stop reports whether
// that will not happen any more.
func AfterFunc(ctx Context, f func()) (stop func() bool) {
	c := ctx.(*ended)
	if c.err != nil {
		sim.Go(f)
		return func() bool { return false }
	}
	i := len(c.calls)
	c.calls = append(c.calls, f)
	return func() bool {
		if c.err != nil {
			return false
		}
		pending := c.calls[i] != nil
		c.calls[i] = nil
		return pending
	}
}
