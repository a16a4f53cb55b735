package park

import (
	"sync/atomic"
	"time"

	"interlock/internal/race"
)

// Who is next at a mutex. Goroutines of the process that holds it need neither
// the kernel nor a mark in the word: they listen, and the unlock asks here
// whether anybody does. It can then let go, so that whoever comes first has it,
// newcomers included: that is quickest, since a newcomer is awake. Or it can
// hand over to the oldest, which leaves the word as it is.
//
//	the oldest has waited            the unlock
//	less than its patience           lets go, and calls the oldest
//	longer                           hands over
//	longer, another process sleeps,  lets go, and this process stands back until another
//	and the turn is over             one has come, for standBack at most
//
// So in one process nobody is overtaken whose patience is over. The same goes for
// processes: one that has had a mutex for a turn, while others slept and though
// nobody else queues in it, frees it such that its own fast path fails, and stands
// back.
//
// A hand-over puts one goroutine to sleep and wakes another, where an unlock is little
// more than a compare-and-swap otherwise. The patience grows with the queue, so that
// a mutex that thousands want is handed over now and then, and not each time.
const (
	patience     = time.Millisecond
	patienceEach = 2 * time.Microsecond // for each that queues

	turnTime  = 500 * time.Microsecond
	turnCount = 1000
	standBack = 2 * time.Millisecond
)

// turn is since when this process has had a mutex, again and again, that others
// sleep for. A bucket remembers one: if two of its mutexes are in such use, either
// may have longer turns.
type turn struct {
	word  *atomic.Uint32
	since int64
	count int // hand-overs
}

// turnOver counts one more unlock while others sleep, and reports whether it ends
// this process's turn.
func (b *bucket) turnOver(word *atomic.Uint32, now int64) bool {
	if b.turn.word != word {
		if b.back.Load() > now {
			return false
		}
		b.turn = turn{word: word, since: now}
	}
	if b.turn.count++; b.turn.count <= turnCount && now-b.turn.since <= int64(turnTime) {
		return false
	}
	b.turn = turn{word: word, since: now}
	b.back.Store(now + int64(standBack))
	return true
}

// endTurn forgets the turn, if it is of this word.
func (b *bucket) endTurn(word *atomic.Uint32) {
	if b.turn.word == word {
		b.turn = turn{}
		b.back.Store(0)
	}
}

// backs is for how long this process still leaves the word to others.
func (b *bucket) backs(word *atomic.Uint32, now int64) time.Duration {
	if b.turn.word != word || b.back.Load() <= now {
		return 0
	}
	return time.Duration(b.back.Load() - now)
}

// EnterLock is Enter for a mutex.
func EnterLock(word *atomic.Uint32, look Look) *Waiter {
	return enter(&Waiter{word: word, look: look}, forLock)
}

// EnterAcquire is Enter for a semaphore.
func EnterAcquire(word *atomic.Uint32, look Look) *Waiter {
	return enter(&Waiter{word: word, look: look}, forPermit)
}

// Listens reports whether an unlock may have somebody of this process to call, for
// a word of b. If not, nobody had said so (Expect) before the caller's last atomic
// access to the word; who does so looks at the word afterwards.
func (b *bucket) Listens() bool {
	race.Hide()
	n := b.listening.Load()
	race.Show()
	return n != 0
}

// Calm reports whether nobody queues here.
func (b *bucket) Calm() bool {
	race.Hide()
	n := b.queued.Load()
	race.Show()
	return n == 0
}

// Expect says that w, if it is the oldest, is going to Listen, and is to be
// called by the next unlock. It must look at the word once more before.
func (w *Waiter) Expect() {
	b := bucketOf(w.word)
	b.mu.Lock()
	defer b.mu.Unlock()
	if q := w.queue; q != nil && q.oldest == w {
		q.setListens(true)
	}
}

// MayOvertake reports whether a newcomer may take the word before those that
// queue for it in this process, and before other processes.
func MayOvertake(word *atomic.Uint32) bool {
	b := bucketOf(word)
	race.Hide()
	calm := b.queued.Load() == 0 && b.back.Load() == 0
	race.Show()
	if calm {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := now()
	if b.back.Load() <= t {
		b.back.Store(0)
	}
	q := b.queueOf(word)
	return b.backs(word, t) == 0 && (q == nil || !q.impatient(t))
}

// impatient reports whether the oldest must not be overtaken any more.
func (q *queue) impatient(now int64) bool {
	return now-q.oldest.since >= int64(patience)+int64(q.length)*int64(patienceEach)
}

// What an unlock is to do.
type Unlock int

const (
	HandedOver Unlock = iota // nothing: the oldest has the mutex
	LetGo                    // release it, and Call
	GiveTurn                 // release it such that this process's fast path fails, and then say Turned
)

// HandOver decides who is next, for a mutex that this process holds; others:
// another process may be asleep for it.
func HandOver(word *atomic.Uint32, others bool) Unlock {
	b := bucketOf(word)
	b.mu.Lock()
	t := now()
	q := b.queueOf(word)
	switch {
	case others && b.turnOver(word, t):
		b.mu.Unlock()
		return GiveTurn
	case q == nil || !q.impatient(t):
		b.mu.Unlock()
		return LetGo
	}
	w := q.oldest
	w.give(false)
	b.mu.Unlock()
	w.rouse()
	return HandedOver
}

// Turned says whether a release after GiveTurn woke another process. If not,
// nobody there wants it, and this process need not stand back.
func Turned(word *atomic.Uint32, woke bool) {
	b := bucketOf(word)
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.queueOf(word)
	if q != nil {
		q.callOldest()
	}
	if !woke {
		b.endTurn(word)
		if q != nil {
			q.oldest.sleeper.Rouse() // it may stand back already
		}
	}
}

// EndTurn says that another process has had the mutex.
func EndTurn(word *atomic.Uint32) {
	b := bucketOf(word)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endTurn(word)
}

// StandsBack is for how long the oldest must leave a free word to others.
func (w *Waiter) StandsBack() time.Duration {
	b := bucketOf(w.word)
	if b.back.Load() == 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.backs(w.word, now())
}

// Call has the oldest look at a word that has just changed, unless it sleeps in
// the kernel: then the kernel's queue and the word's protocol see to it.
func Call(word *atomic.Uint32) {
	b := bucketOf(word)
	b.mu.Lock()
	defer b.mu.Unlock()
	if q := b.queueOf(word); q != nil {
		q.callOldest()
	}
}
