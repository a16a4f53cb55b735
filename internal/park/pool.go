package park

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"interlock/futex"
)

// A pool is one thread that sleeps for up to futex.MaxAny waiters. Its
// goroutine is in the kernel while there are any:
//
//	a waiter comes or goes     it is roused, and goes to sleep on the new set
//	a word is woken, or has    it calls the word's waiter, which leaves the pool
//	changed                    by that, and goes to sleep on the others
//
// A wake that is used up for a waiter which has gone meanwhile is passed on: it
// was meant for any sleeper of that word. If several words are woken at once the
// kernel reports only the last (P-K17), so a wake of a word that has not changed
// may go unnoticed. It need not be noticed: a waker changes the word first, and
// if that has been undone, a sleeper would only go to sleep again.
type pool struct {
	mu      sync.Mutex
	members []*Waiter
	sleeper futex.Sleeper
	expects []futex.Expect // of the sleep under way
	asleep  []*Waiter      // for whom; nil: has left since
	running bool
}

// pooled is a waiter's place in a pool.
type pooled struct {
	pool  *pool
	val   uint32
	place int  // in pool.members
	slot  int  // in pool.asleep, -1 if not
	fired bool // taken off the pool because of its word
	err   error
}

var (
	pools struct {
		mu  sync.Mutex
		all []*pool
	}
	sharing atomic.Int32 // waiters in pools, and those who would be if there were one
)

// sleepPooled is Sleep with a shared thread, or, without futex_waitv, with none.
func (w *Waiter) sleepPooled(ctx context.Context, val uint32) (woken bool, err error) {
	sharing.Add(1)
	defer sharing.Add(-1)
	if futex.HasWaitv() {
		w.join(val)
	}
	err = w.Listen(ctx)
	if w.quitPool() {
		return true, w.pooled.err // not ctx's: a wake may have come at the same moment, and must not be lost
	}
	return false, err
}

// join finds a pool with room. Pools are never given up: a few are enough for
// all the words that a process ever waits for at once.
func (w *Waiter) join(val uint32) {
	w.pooled = pooled{val: val, slot: -1}
	pools.mu.Lock()
	defer pools.mu.Unlock()
	for _, p := range pools.all {
		if p.add(w) {
			return
		}
	}
	p := new(pool)
	pools.all = append(pools.all, p)
	p.add(w)
}

func (p *pool) add(w *Waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.members) == futex.MaxAny {
		return false
	}
	w.pooled.pool, w.pooled.place = p, len(p.members)
	p.members = append(p.members, w)
	if p.running {
		p.sleeper.Rouse()
	} else {
		p.running = true
		go p.run()
	}
	return true
}

// quitPool takes w out of its pool, and reports whether its word may have been
// woken on its behalf.
func (w *Waiter) quitPool() bool {
	p := w.pooled.pool
	if p == nil {
		return false
	}
	w.pooled.pool = nil
	p.mu.Lock()
	defer p.mu.Unlock()
	if !w.pooled.fired {
		p.remove(w)
		p.sleeper.Rouse()
	}
	return w.pooled.fired
}

func (p *pool) remove(w *Waiter) {
	last := len(p.members) - 1
	moved := p.members[last]
	p.members[w.pooled.place] = moved
	moved.pooled.place = w.pooled.place
	p.members[last] = nil
	p.members = p.members[:last]
	if w.pooled.slot >= 0 {
		p.asleep[w.pooled.slot] = nil
	}
}

// fire takes w out of the pool and has it look at its word.
func (p *pool) fire(w *Waiter, err error) {
	w.pooled.fired, w.pooled.err = true, err
	p.remove(w)
	w.callUp()
}

// run sleeps for the members until there are none.
func (p *pool) run() {
	// A word that a peer truncated must not kill this process (P-K6).
	debug.SetPanicOnFault(true)
	for p.prepare() {
		i, why, err := p.sleeper.SleepAny(p.expects)
		p.settle(i, why, err)
	}
}

// prepare sets down on what to sleep. With no members left it returns false,
// and the next to come starts another goroutine.
func (p *pool) prepare() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.asleep) // those who have left may be collected
	p.expects, p.asleep = p.expects[:0], p.asleep[:0]
	for i, w := range p.members {
		w.pooled.slot = i
		p.expects = append(p.expects, futex.Expect{Addr: w.word, Val: w.pooled.val})
		p.asleep = append(p.asleep, w)
	}
	p.running = len(p.members) > 0
	return p.running
}

// settle calls those for whom there is something to look at, and passes on the
// wakes of those who have left. i is the last word that was woken.
func (p *pool) settle(i int, why futex.Why, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fired := false
	for slot, w := range p.asleep {
		switch {
		case w == nil:
			if why == futex.Woken && slot <= i {
				_, _ = futex.Wake(p.expects[slot].Addr, 1)
			}
		case slot == i || w.changed():
			p.fire(w, futex.Check(w.word))
			fired = true
		}
	}
	if err == nil || fired {
		return
	}
	// Nobody can sleep here: refused by a filter that was set up just now, which
	// the next try knows, or something worse, which all of them have to hear.
	if errors.Is(err, unix.ENOSYS) {
		err = nil
	}
	for len(p.members) > 0 {
		p.fire(p.members[0], err)
	}
}

// changed reports whether w should look at its word; also if it cannot be read.
func (w *Waiter) changed() bool {
	return guarded(func() bool { return w.word.Load() != w.pooled.val })
}
