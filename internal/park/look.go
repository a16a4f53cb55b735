package park

import (
	"runtime/debug"
	"sync/atomic"
	"time"

	"interlock/internal/sigbus"
)

// LookEvery is how often the words waited for are looked at; with more than
// manyWords of them half as often. A loss that only the look repairs is repaired
// within that: 100 ms are promised.
const (
	LookEvery = 40 * time.Millisecond
	manyWords = 256

	// lookAgain is when an owner is looked at for the second time who had not
	// written down who it is. That takes a living one a few instructions.
	lookAgain = 5 * time.Millisecond
)

// Rounds counts the ticker's rounds: what was found out in one need not be
// asked for again in the same.
func Rounds() uint32 { return rounds.Load() }

var rounds atomic.Uint32

// looking says that the ticker runs. It does while anybody waits, and one
// period longer: a process that waits often and briefly should not start a
// goroutine each time.
var looking atomic.Bool

// keepLooking starts the ticker if need be. The caller counts in waiting.
func keepLooking() {
	if !looking.Load() && looking.CompareAndSwap(false, true) {
		go tick()
	}
}

func tick() {
	// A look at memory that a peer truncated must not kill this process (P-K6), nor
	// where sigbus was not told of it.
	debug.SetPanicOnFault(true)
	t := time.NewTimer(LookEvery)
	defer t.Stop()
	var heads []*Waiter
	for range t.C {
		if waiting.Load() == 0 {
			looking.Store(false)
			// One that came before the store has not started another ticker.
			if waiting.Load() == 0 || !looking.CompareAndSwap(false, true) {
				return
			}
		}
		rounds.Add(1)
		words, next := 0, LookEvery
		for i := range buckets {
			heads = buckets[i].heads(heads[:0])
			words += len(heads)
			if lookAt(heads) {
				next = lookAgain
			}
		}
		if words > manyWords && next == LookEvery {
			next = 2 * LookEvery
		}
		t.Reset(next)
	}
}

// heads appends the oldest waiter of each queue: the others look when it is
// their turn.
func (b *bucket) heads(to []*Waiter) []*Waiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	for q := b.queues; q != nil; q = q.next {
		q.oldest.looked = true
		to = append(to, q.oldest)
	}
	return to
}

// lookAt reports whether one of them should be looked at again soon.
func lookAt(heads []*Waiter) (again bool) {
	for i, w := range heads {
		switch w.lookOnce() {
		case Rouse:
			w.rouse()
		case Again:
			again = true
		case Quiet:
			w.demote()
		}
		heads[i] = nil
	}
	return again
}

// lookOnce lets the primitive look, unless the waiter has left: its memory may
// be unmapped by now. A fault counts as news: the waiter finds out for itself.
func (w *Waiter) lookOnce() (found Finding) {
	w.busy.Lock()
	defer w.busy.Unlock()
	if w.gone {
		return Quiet
	}
	if guarded(func() bool { found = w.look(); return false }) {
		return Rouse
	}
	return found
}

// guarded is f, or true if f faults.
func guarded(f func() bool) (yes bool) {
	before := sigbus.Faults()
	defer func() {
		if r := recover(); r == nil {
			return
		} else if yes = sigbus.IsFault(r, before); !yes {
			panic(r)
		}
	}()
	return f()
}
