package park

import (
	"context"
	"sync/atomic"
)

// A group is a queue for a condition variable: its waiters do not take
// something from the word, they wait for news in it. The oldest sleeps in the
// kernel for all (P-G2), so when it wakes it must work out from the counts
// for how many of them there was news, while nobody slept included:
//
//   - each signal since the group last looked is for one waiter, the oldest
//     first, if that one was there before it;
//   - a broadcast is for all who were there before it.
//
// A signal that another process's waiter received counts here too, once this
// group looks: one goroutine wakes for nothing, as condition variables may.

// Counts are how often a condition variable was signalled, broadcasts
// included, and how often broadcast. Both wrap.
type Counts struct{ Signals, Broadcasts uint32 }

// Join queues the caller up for news later than now. read returns the counts;
// it must read Signals first if Broadcasts are counted up first: what is half
// counted must not look like a mere signal. word is the futex word and holds Signals.
func Join(word *atomic.Uint32, read func() Counts) *Waiter {
	w := &Waiter{word: word, read: read, since: now(), call: make(chan struct{}, 1)}
	w.look = func() Finding { return RouseIf(w.groupMoved()) }
	w.joinGroup()
	keepLooking(word)
	return w
}

func (w *Waiter) joinGroup() {
	b := bucketOf(w.word)
	b.mu.Lock()
	defer b.mu.Unlock() // also when a peer has truncated the memory (P-K6)
	w.seen = w.read()
	b.enqueue(w, forNews)
	if w.older == nil {
		w.queue.last = w.seen.Signals
	}
}

// Await blocks until there is news for w, and returns nil, or until ctx is
// done. An error means that w has used up no news: it goes to another.
func (w *Waiter) Await(ctx context.Context) error {
	err := w.Listen(ctx)
	if err == nil && bucketOf(w.word).Spin(func() bool { return w.word.Load() != w.seen.Signals }) {
		w.share()
	}
	for err == nil && !w.Given() {
		var woken bool
		woken, err = w.Sleep(ctx, w.groupLast())
		if woken || w.groupMoved() {
			w.share()
		}
	}
	return w.quit(err)
}

// quit leaves the group because of err, unless there was news for w already.
func (w *Waiter) quit(err error) error {
	b := bucketOf(w.word)
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.given {
		return nil
	}
	w.dequeue(true)
	return err
}

// share hands the news since the group last looked to its waiters.
func (w *Waiter) share() {
	b := bucketOf(w.word)
	b.mu.Lock()
	defer b.mu.Unlock()
	q := w.queue
	if q == nil {
		return
	}
	now := w.read()
	signals := now.Signals - q.last
	q.last = now.Signals
	for q.oldest != nil {
		m := q.oldest
		called := m.seen.Broadcasts != now.Broadcasts
		if !called && (signals == 0 || m.seen.Signals == now.Signals) {
			return // no news, or none later than m; nor for those who came after m
		}
		if !called {
			signals--
		}
		m.give(true)
		m.callUp()
	}
}

func (w *Waiter) groupLast() uint32 {
	b := bucketOf(w.word)
	b.mu.Lock()
	defer b.mu.Unlock()
	if w.queue == nil {
		return w.seen.Signals
	}
	return w.queue.last
}

func (w *Waiter) groupMoved() bool { return w.word.Load() != w.groupLast() }
