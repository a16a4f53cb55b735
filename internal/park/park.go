// Package park is where goroutines of this process wait for a shared word.
//
// Two things stand here between a primitive and the kernel:
//
//   - The queue. A goroutine inside a futex call pins an OS thread that Go
//     never gives back, and ten thousand of them kill the process (P-G2). So of
//     all goroutines that wait for one word, only the oldest sleeps in the
//     kernel; the others wait for their turn on a channel, in order of arrival.
//
//   - The look. A wake can die with the process that was to send it or had just
//     received it (P-M1, P-M2, P-S2). While anybody of this process sleeps in the
//     kernel, one ticker for the whole process lets each sleeper's primitive look
//     at its word, and rouses the sleeper if the word says so.
//
// To wait for a word:
//
//	w := park.Enter(word, look)    queue up
//	defer w.Leave()                the next in the queue has its turn
//	w.Turn(ctx)                    until the oldest
//	loop: take what the word offers, or
//	      w.Sleep(ctx, seen)       asleep until woken, roused or cancelled
package park

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"interlock/futex"
	"interlock/internal/race"
	"interlock/internal/region"
)

// A Look examines a word for a goroutine that sleeps on it, and reports
// whether the goroutine should wake up and examine it too. It runs on the
// ticker's goroutine, never twice at once for one waiter, and must not block.
type Look func() bool

// A Waiter is one goroutine that waits for one word.
type Waiter struct {
	word    *atomic.Uint32
	look    Look
	sleeper futex.Sleeper

	// In the queue; guarded by the table's lock.
	queue        *queue // nil before and after
	older, newer *Waiter
	turn         chan struct{} // closed when this is the oldest

	// In a group; see group.go.
	read func() Counts
	seen Counts        // when it joined
	news chan struct{} // closed, and the waiter taken off the queue, when there is news

	// Once asleep in the kernel.
	armed  bool
	disarm func() bool // stops ctx from rousing
	busy   sync.Mutex  // held during a look; Leave takes it, so that no look outlives the waiter
	gone   bool        // guarded by busy
}

type queue struct {
	oldest, newest *Waiter
	last           uint32 // of a group: the signals it has dealt with
}

// table has every waiter of this process by its word's address.
var table struct {
	mu     sync.Mutex
	queues map[uintptr]*queue
}

func init() {
	table.queues = make(map[uintptr]*queue)
	region.Register(tenant{})
}

// Enter queues the caller up for the word.
func Enter(word *atomic.Uint32, look Look) *Waiter {
	w := &Waiter{word: word, look: look, turn: make(chan struct{})}
	table.mu.Lock()
	defer table.mu.Unlock()
	w.enqueue()
	return w
}

func (w *Waiter) enqueue() {
	q := table.queues[key(w.word)]
	if q == nil {
		q = new(queue)
		table.queues[key(w.word)] = q
	}
	w.queue, w.older = q, q.newest
	if q.newest == nil {
		q.oldest = w
		close(w.turn)
	} else {
		q.newest.newer = w
	}
	q.newest = w
}

// Turn blocks until w is the oldest waiter of its queue, or ctx is done.
func (w *Waiter) Turn(ctx context.Context) error {
	select {
	case <-w.turn:
		return nil
	default:
	}
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Sleep sleeps in the kernel while the word holds val. It returns nil when
// there is reason to look at the word again: woken, changed or roused; woken
// tells whether a wake of the word was used up. With ctx.Err() none was.
func (w *Waiter) Sleep(ctx context.Context, val uint32) (woken bool, err error) {
	if !w.armed {
		w.armed = true
		if ctx.Done() != nil {
			w.disarm = context.AfterFunc(ctx, w.sleeper.Rouse)
		}
		watch(w)
	}
	// The rouse of a context that was done before is gone if an earlier Sleep
	// ended by a wake at the same moment.
	if err := ctx.Err(); err != nil {
		return false, err
	}
	why, err := w.sleeper.Sleep(w.word, val)
	if err != nil || why == futex.Woken {
		return why == futex.Woken, err
	}
	return false, ctx.Err()
}

// Leave ends the waiting, and gives the next in the queue its turn.
func (w *Waiter) Leave() {
	if w.armed {
		if w.disarm != nil {
			w.disarm()
		}
		unwatch(w)
		w.busy.Lock()
		w.gone = true
		w.busy.Unlock()
	}
	table.mu.Lock()
	defer table.mu.Unlock()
	if w.queue != nil {
		w.unqueue()
	}
}

func (w *Waiter) unqueue() {
	q := w.queue
	w.queue = nil
	if w.newer != nil {
		w.newer.older = w.older
	} else {
		q.newest = w.older
	}
	if w.older != nil {
		w.older.newer = w.newer
		return
	}
	q.oldest = w.newer
	if q.oldest != nil {
		close(q.oldest.turn)
	} else {
		delete(table.queues, key(w.word))
	}
}

// Waiters is how many goroutines of this process queue for the word.
func Waiters(word *atomic.Uint32) (n int) {
	table.mu.Lock()
	defer table.mu.Unlock()
	if q := table.queues[key(word)]; q != nil {
		for w := q.oldest; w != nil; w = w.newer {
			n++
		}
	}
	return n
}

// tenant answers for the waiters when memory is to be unmapped.
type tenant struct{}

func (tenant) Busy(lo, hi uintptr) error {
	table.mu.Lock()
	defer table.mu.Unlock()
	for addr := range table.queues {
		if lo <= addr && addr < hi {
			return fmt.Errorf("goroutines of this process wait at offset %#x: %w", addr-lo, region.ErrBusy)
		}
	}
	return nil
}

// Forget: nobody waits there any more, but the race detector has shadows for
// the words that were waited for, and for those that never needed it.
func (tenant) Forget(lo, hi uintptr) { race.Forget(lo, hi) }
