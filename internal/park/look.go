package park

import (
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"

	"interlock/futex"
	"interlock/internal/sigbus"
)

// LookEvery is how often the words waited for are looked at; with more than
// manyWords of them half as often. A loss that only the look repairs is repaired
// within one period, or within two if it takes a second look: 100 ms are promised.
//
// A process that looks costs about as much as it takes to wake one that sleeps, and
// a thousand that wait for one word would do nothing else. So where more than few
// processes sleep on each of the words that this one waits for, each looks less
// often, and all of them together still more often than one alone would. Who comes to
// wait for another word meanwhile ends that rest.
const (
	LookEvery = 40 * time.Millisecond
	manyWords = 256

	few         = 16
	mostStretch = 8 // times LookEvery
)

// Rounds counts the ticker's rounds: what was found out in one need not be
// asked for again in the same.
func Rounds() uint32 { return rounds.Load() }

var rounds atomic.Uint32

// looking says that the ticker runs. It does while anybody waits, and one
// period longer: a process that waits often and briefly should not start a
// goroutine each time.
var looking atomic.Bool

// A rest is a pause that a crowd allows the ticker.
type rest struct {
	word  *atomic.Uint32 // the only one that is waited for, or nil
	timer *time.Timer
}

var (
	resting  atomic.Pointer[rest] // nil: it is not
	arrivals atomic.Uint32        // of waiters
	seldom   atomic.Bool          // the pause before this round was longer than a period
)

// Seldom reports whether the ticker's rounds are further apart than a period: then what
// takes two looks takes too long.
func Seldom() bool { return seldom.Load() }

// keepLooking starts the ticker if need be, and ends its rest at another word. The
// caller waits for word already, and counts in waiting.
func keepLooking(word *atomic.Uint32) {
	if !looking.Load() && looking.CompareAndSwap(false, true) {
		go tick()
	}
	arrivals.Add(1)
	if r := resting.Load(); r != nil && r.word != word && resting.CompareAndSwap(r, nil) {
		r.timer.Reset(LookEvery)
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
		resting.Store(nil)
		before := arrivals.Load()
		words, crowd := 0, few*mostStretch
		r := &rest{timer: t}
		for b := range occupiedBuckets {
			if heads = b.heads(heads[:0]); len(heads) > 0 {
				r.word = heads[0].word
			}
			words += len(heads)
			crowd = lookAt(heads, crowd)
		}
		if words != 1 {
			r.word = nil
		}
		r.begin(pause(words, crowd), before)
	}
}

// begin sets the timer. Who came to wait in this round, since so many had, may not have
// been looked at: either that is seen here, or the rest there.
func (r *rest) begin(d time.Duration, before uint32) {
	seldom.Store(d > LookEvery)
	r.timer.Reset(d)
	if d <= 2*LookEvery {
		return // soon enough for anybody
	}
	resting.Store(r)
	if arrivals.Load() != before && resting.CompareAndSwap(r, nil) {
		r.timer.Reset(LookEvery)
	}
}

// pause is the time to the next round, given how many words are waited for and how
// many sleep on the one with the fewest.
func pause(words, crowd int) time.Duration {
	switch stretch := time.Duration(crowd / few); {
	case words == 0:
		return LookEvery
	case words > manyWords:
		return 2 * LookEvery
	case stretch > 1:
		// A crowd that began to wait at one moment must not look at one moment.
		return stretch * LookEvery * time.Duration(75+rand.IntN(50)) / 100
	}
	return LookEvery
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

// lookAt lets them look, and returns the smallest crowd so far.
func lookAt(heads []*Waiter, crowd int) int {
	for i, w := range heads {
		var found Finding
		found, crowd = w.lookOnce(crowd)
		switch found {
		case Rouse:
			w.rouse()
		case Quiet:
			w.demote()
		}
		heads[i] = nil
	}
	return crowd
}

// lookOnce lets the primitive look, unless the waiter has left: its memory may
// be unmapped by now. A fault counts as news: the waiter finds out for itself. It
// also counts who sleeps there, up to most: few where that cannot be known, since a
// rest is for a crowd that was seen.
func (w *Waiter) lookOnce(most int) (found Finding, crowd int) {
	w.busy.Lock()
	defer w.busy.Unlock()
	crowd = min(most, few)
	if w.gone {
		return Quiet, crowd
	}
	if guarded(func() bool { found, crowd = w.look(), sleepers(w.word, most); return false }) {
		return Rouse, crowd
	}
	return found, crowd
}

// sleepers counts who sleeps on a word, up to most. One process has one sleeper there,
// or one for each thread of a C program.
func sleepers(word *atomic.Uint32, most int) int {
	if most <= few {
		return most // fewer make no difference
	}
	// Moving them to where they are, the kernel only counts them. A word that
	// changes while it does is one that is seen to.
	n, err := futex.Requeue(word, word.Load(), 0, word, most)
	if err != nil {
		return few
	}
	return n
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
