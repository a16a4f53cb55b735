package sim

import "slices"

// What only the threads of one process share.

// A Chan is a chan struct{}. One without a buffer can only be closed.
type Chan struct {
	size, full int
	closed     bool
	waiting    []*Thread
}

// NewChan makes one.
func NewChan(size int) *Chan { return &Chan{size: size} }

// Recv is <-c; false if c is closed.
func (c *Chan) Recv() bool {
	Select(false, Receive(c))
	return !c.closed
}

// Close is close(c).
func (c *Chan) Close() {
	world.point(local)
	c.closed = true
	c.call()
}

// put sends, if there is room.
func (c *Chan) put() bool {
	if c.full == c.size {
		return false
	}
	c.full++
	c.call()
	return true
}

// call has everybody who waits look again.
func (c *Chan) call() {
	for _, t := range c.waiting {
		t.wake()
	}
	c.waiting = nil
}

// A Case is one of a select.
type Case struct {
	c    *Chan
	send bool
}

// Receive is the case <-c. Nobody needs what is received.
func Receive(c *Chan) Case { return Case{c, false} }

// Send is the case c <- struct{}{}.
func Send(c *Chan) Case { return Case{c, true} }

func (c Case) ready() bool {
	switch {
	case c.c == nil:
		return false
	case c.send:
		return c.c.full < c.c.size
	}
	return c.c.full > 0 || c.c.closed
}

// happen does what the case says.
func (c Case) happen() {
	switch {
	case c.send:
		c.c.put()
	case c.c.full > 0:
		c.c.full--
	}
}

// Select chooses a case that can happen, and does it; -1 is the default.
func Select(otherwise bool, cases ...Case) int {
	w := world
	w.point(local)
	t := w.current
	for {
		if i := w.pick(cases); i >= 0 {
			cases[i].happen()
			return i
		}
		if otherwise {
			return -1
		}
		for _, c := range cases {
			if c.c != nil {
				c.c.waiting = append(c.c.waiting, t)
			}
		}
		w.block(t, "a channel")
		for _, c := range cases {
			if c.c != nil {
				c.c.waiting = slices.DeleteFunc(c.c.waiting, func(u *Thread) bool { return u == t })
			}
		}
	}
}

// pick returns a case that can happen, or -1. Go chooses any of several.
func (w *World) pick(cases []Case) int {
	w.options = w.options[:0]
	for i, c := range cases {
		if c.ready() {
			w.add(Option{Do: Pick, Case: i})
		}
	}
	if len(w.options) == 0 {
		return -1
	}
	return w.choose().Case
}

// A Mutex is a sync.Mutex.
type Mutex struct {
	held    bool
	waiting []*Thread
}

// Lock locks m.
func (m *Mutex) Lock() {
	w := world
	w.point(local)
	for m.held {
		m.waiting = append(m.waiting, w.current)
		w.block(w.current, "a lock of its process")
	}
	m.held = true
}

// Unlock unlocks m.
func (m *Mutex) Unlock() {
	m.held = false
	for _, t := range m.waiting {
		t.wake()
	}
	m.waiting = nil
}
