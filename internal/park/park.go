// Package park is where goroutines of this process wait for a shared word.
//
// Three things stand here between a primitive and the kernel:
//
//   - The queue. A goroutine inside a futex call pins an OS thread that Go
//     never gives back, and ten thousand of them kill the process (P-G2). So of
//     all goroutines that wait for one word, only the oldest sleeps in the
//     kernel; the others listen on a channel, in order of arrival. Where many
//     different words are waited for, one thread sleeps for many of them.
//
//   - The look. A wake can die with the process that was to send it or had just
//     received it (P-M1, P-M2, P-S2). While anybody of this process waits, one
//     ticker for the whole process lets each oldest waiter's primitive look at
//     its word, and rouses the waiter if the word says so.
//
//   - The hand-over. What one goroutine gives away and another one of the same
//     process waits for need not go through the kernel: see handover.go.
//
// To wait for a word:
//
//	w := park.EnterAcquire(word, look)   queue up (EnterLock for a mutex, Join for news)
//	defer w.Leave()                      the next in the queue has its turn
//	w.Listen(ctx)                        until the oldest
//	loop: take what the word offers, or
//	      w.Sleep(ctx, seen)             asleep until woken, roused or cancelled
//
//	table.go     the queues, by the word's address
//	handover.go  mutexes: who is next, and when it is another process's turn
//	spin.go      staying awake for a while first
//	group.go     condition variables: one sleeper for many who wait for news
//	sleep.go     a sleep in the kernel, by one's own thread or by a shared one
//	pool.go      the shared ones
//	look.go      the ticker
package park

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"interlock/futex"
)

// A Look examines a word for the oldest that waits for it. It runs on the
// ticker's goroutine, never twice at once for one waiter, and must not block.
type Look func() Finding

// What a Look has found.
type Finding int

const (
	Quiet Finding = iota // nothing to do
	Rouse                // the waiter should examine the word too
)

// RouseIf is Rouse or Quiet.
func RouseIf(news bool) Finding {
	if news {
		return Rouse
	}
	return Quiet
}

// A Waiter is one goroutine that waits for one word.
type Waiter struct {
	word  *atomic.Uint32
	look  Look
	since int64         // when it came, on this package's clock
	call  chan struct{} // holds one call at most: look at the word, or you were given it

	// In the queue; guarded by the bucket's lock.
	queue        *queue // nil before and after
	older, newer *Waiter
	given        bool // it has what it waited for: taken off the queue by who gave it
	looked       bool // the ticker has seen it, and may be looking

	// In a group; see group.go.
	read func() Counts
	seen Counts // when it joined

	// Asleep in the kernel; see sleep.go.
	sleeper     futex.Sleeper
	disarm      func() bool  // stops ctx from rousing
	asleepSince atomic.Int64 // with a thread of its own; 0: not
	demoted     atomic.Bool  // leave the thread to others next time
	pooled      pooled

	busy sync.Mutex // held during a look; Leave takes it, so that no look outlives the waiter
	gone bool       // guarded by busy
}

var start = time.Now()

// now is in nanoseconds, by CLOCK_MONOTONIC.
func now() int64 { return int64(time.Since(start)) }

// enter queues the caller up for its word.
func enter(w *Waiter, k kind) *Waiter {
	w.call = make(chan struct{}, 1)
	w.since = now()
	b := bucketOf(w.word)
	b.mu.Lock()
	b.enqueue(w, k)
	b.mu.Unlock()
	keepLooking(w.word)
	return w
}

// Listen blocks until the waiter is called: because it is the oldest now, or
// has been given what it waits for, or should look at the word. Waiters are
// called in order of arrival; a call may turn out to be for nothing. It returns
// ctx.Err() when ctx is done first.
func (w *Waiter) Listen(ctx context.Context) error {
	if ctx.Done() == nil {
		<-w.call
		return nil
	}
	select {
	case <-w.call:
		return nil
	default:
	}
	select {
	case <-w.call:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave ends the waiting. If w is the oldest, the next one is called. It reports
// whether w was given what it waited for.
func (w *Waiter) Leave() (given bool) { return w.leave(true) }

// Settled ends the waiting of one who took what the word offered; the next one
// need not be called, since who took it will see to that when giving it back.
func (w *Waiter) Settled() (given bool) { return w.leave(false) }

func (w *Waiter) leave(callNext bool) (given bool) {
	if w.disarm != nil {
		w.disarm()
		w.disarm = nil
	}
	b := bucketOf(w.word)
	b.mu.Lock()
	if w.queue != nil {
		w.dequeue(callNext)
	}
	given, looked := w.given, w.looked
	b.mu.Unlock()
	if looked {
		w.busy.Lock()
		w.gone = true
		w.busy.Unlock()
	}
	return given
}

// Given reports whether another goroutine has given w what it waits for. Then
// w is off the queue, and has it whatever else happens.
func (w *Waiter) Given() bool {
	b := bucketOf(w.word)
	b.mu.Lock()
	defer b.mu.Unlock()
	return w.given
}

// callUp makes w's Listen return, or its next one.
func (w *Waiter) callUp() {
	select {
	case w.call <- struct{}{}:
	default: // it has not heard the last one yet
	}
}

// give gives w what it waits for and takes it off the queue, under the bucket's
// lock. Outside of it, the caller must then rouse w.
func (w *Waiter) give(callNext bool) {
	w.given = true
	w.dequeue(callNext)
}

// rouse makes w look, wherever it is: on the channel, asleep, or on its way.
func (w *Waiter) rouse() {
	w.callUp()
	w.sleeper.Rouse()
}
