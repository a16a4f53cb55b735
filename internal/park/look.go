package park

import (
	"runtime/debug"
	"sync"
	"time"
)

// LookEvery is how often the words slept on are looked at. A loss that only the
// look repairs is repaired within twice this: 100 ms are promised.
const LookEvery = 40 * time.Millisecond

// watched are the waiters asleep in the kernel. The ticker runs while there
// are any, and one period longer: a process that sleeps often and briefly
// should not start a goroutine each time.
var watched struct {
	mu      sync.Mutex
	waiters map[*Waiter]struct{}
	ticking bool
}

func watch(w *Waiter) {
	watched.mu.Lock()
	defer watched.mu.Unlock()
	if watched.waiters == nil {
		watched.waiters = make(map[*Waiter]struct{})
	}
	watched.waiters[w] = struct{}{}
	if !watched.ticking {
		watched.ticking = true
		go tick()
	}
}

func unwatch(w *Waiter) {
	watched.mu.Lock()
	defer watched.mu.Unlock()
	delete(watched.waiters, w)
}

func tick() {
	// A look at memory that a peer truncated must not kill this process (P-K6).
	debug.SetPanicOnFault(true)
	t := time.NewTicker(LookEvery)
	defer t.Stop()
	var round []*Waiter
	for range t.C {
		round = round[:0]
		watched.mu.Lock()
		if len(watched.waiters) == 0 {
			watched.ticking = false
			watched.mu.Unlock()
			return
		}
		for w := range watched.waiters {
			round = append(round, w)
		}
		watched.mu.Unlock()
		for i, w := range round {
			if w.lookOnce() {
				w.sleeper.Rouse()
			}
			round[i] = nil
		}
	}
}

// lookOnce lets the primitive look, unless the waiter has left: its memory may
// be unmapped by now. A fault counts as news: the sleeper finds out for itself.
func (w *Waiter) lookOnce() (rouse bool) {
	w.busy.Lock()
	defer w.busy.Unlock()
	if w.gone {
		return false
	}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // the runtime's error for a memory fault
			rouse = true
		default:
			panic(r)
		}
	}()
	return w.look()
}
