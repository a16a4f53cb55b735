package park

import (
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"

	"interlock/internal/race"
	"interlock/internal/region"
)

// The waiters of this process by their words' addresses: a hash table of
// queues. An unlock asks it each time whether anybody of this process is to be
// called, so each bucket has counts that can be read without its lock.
const (
	bucketBits = 10
	cacheLine  = 64
)

type bucket struct {
	listening atomic.Int32 // mutexes here whose oldest waiter is to be called by an unlock
	queued    atomic.Int32 // waiters for mutexes and semaphores
	back      atomic.Int64 // until when this process stands back from turn.word; 0: it does not
	mu        sync.Mutex
	queues    *queue // a list
	turn      turn
	missed    atomic.Uint32 // how often to spin here was for nothing, since it was not
	_         [2*cacheLine - 64]byte
}

var buckets [1 << bucketBits]bucket

// occupied has a bit for each bucket with a queue, so that the ticker need not visit
// the others: of 1,024, mostly one or two have any. Who sets or clears a bit has the
// bucket's lock.
var occupied [(1<<bucketBits + 63) / 64]atomic.Uint64

// note is called when b has got its first queue, or has lost its last one.
func (b *bucket) note(word *atomic.Uint32) {
	i := number(key(word))
	if bit := uint64(1) << (i % 64); b.queues != nil {
		occupied[i/64].Or(bit)
	} else {
		occupied[i/64].And(^bit)
	}
}

// occupiedBuckets goes through those that have queues.
func occupiedBuckets(yield func(*bucket) bool) {
	for i := range occupied {
		for set := occupied[i].Load(); set != 0; set &= set - 1 {
			if !yield(&buckets[64*i+bits.TrailingZeros64(set)]) {
				return
			}
		}
	}
}

// queue is who waits for one word, in order of arrival. Guarded by its bucket.
type queue struct {
	word           *atomic.Uint32
	bucket         *bucket
	next           *queue // in the bucket
	oldest, newest *Waiter
	length         int
	kind           kind
	listens        bool   // of a mutex: the oldest is to be called by the next unlock
	last           uint32 // of a group: the signals it has dealt with
}

// waiting is how many there are in all queues: the ticker runs while there are any.
var waiting atomic.Int64

// BucketAt is where those wait who wait for the word at an address. Words of one
// page are spread by the low bits, words at one offset of many pages by the others.
func BucketAt(addr uintptr) *bucket {
	return &buckets[number(addr)]
}

func number(addr uintptr) uintptr { return (addr>>3 ^ addr>>12) % (1 << bucketBits) }

func bucketOf(word *atomic.Uint32) *bucket { return BucketAt(key(word)) }

type kind int

const (
	forNews   kind = iota // a group
	forLock               // a mutex
	forPermit             // a semaphore
)

func (b *bucket) queueOf(word *atomic.Uint32) *queue {
	q := b.queues
	for q != nil && q.word != word {
		q = q.next
	}
	return q
}

func (b *bucket) drop(q *queue) {
	at := &b.queues
	for *at != q {
		at = &(*at).next
	}
	*at = q.next
	b.note(q.word)
}

func (b *bucket) enqueue(w *Waiter, k kind) {
	q := b.queueOf(w.word)
	if q == nil {
		q = &queue{word: w.word, bucket: b, next: b.queues, kind: k}
		b.queues = q
		b.note(w.word)
	}
	w.queue, w.older = q, q.newest
	if q.newest == nil {
		q.oldest = w
		w.callUp()
	} else {
		q.newest.newer = w
	}
	q.newest = w
	q.length++
	waiting.Add(1)
	if k != forNews {
		b.queued.Add(1)
	}
}

// dequeue takes w off its queue. If that makes another one the oldest, it is
// called on demand.
func (w *Waiter) dequeue(callNext bool) {
	q := w.queue
	w.queue = nil
	q.length--
	waiting.Add(-1)
	if q.kind != forNews {
		q.bucket.queued.Add(-1)
	}
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
	switch {
	case q.oldest == nil:
		q.setListens(false)
		q.bucket.drop(q)
	case callNext:
		q.callOldest()
	default:
		q.setListens(true)
	}
}

// setListens notes whether the next unlock is to call the oldest.
func (q *queue) setListens(on bool) {
	if q.kind != forLock || q.listens == on {
		return
	}
	q.listens = on
	if on {
		q.bucket.listening.Add(1)
	} else {
		q.bucket.listening.Add(-1)
	}
}

func (q *queue) callOldest() {
	q.setListens(false)
	q.oldest.callUp()
}

// Waiters is how many goroutines of this process queue for the word.
func Waiters(word *atomic.Uint32) int {
	b := bucketOf(word)
	b.mu.Lock()
	defer b.mu.Unlock()
	if q := b.queueOf(word); q != nil {
		return q.length
	}
	return 0
}

func init() { region.Register(tenant{}) }

// tenant answers for the waiters when memory is to be unmapped.
type tenant struct{}

func (tenant) Busy(lo, hi uintptr) error {
	for b := range occupiedBuckets {
		if addr := b.in(lo, hi); addr != 0 {
			return fmt.Errorf("goroutines of this process wait at offset %#x: %w", addr-lo, region.ErrBusy)
		}
	}
	return nil
}

// in is the address of a word in [lo, hi) that somebody waits for, or 0.
func (b *bucket) in(lo, hi uintptr) uintptr {
	b.mu.Lock()
	defer b.mu.Unlock()
	for q := b.queues; q != nil; q = q.next {
		if addr := key(q.word); lo <= addr && addr < hi {
			return addr
		}
	}
	return 0
}

// Forget: nobody waits there any more, but the race detector has shadows for
// the words that were waited for, and for those that never needed it.
func (tenant) Forget(lo, hi uintptr) { race.Forget(lo, hi) }
