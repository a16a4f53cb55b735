package sim

import (
	"slices"

	"golang.org/x/sys/unix"
)

// The kernel's futexes. A word is known by its place in the shared memory, whatever the
// address; or, if the call says that it is private or the memory is, by process and
// address.
type key struct {
	private *Process
	place   uint64
}

// word is what a thread sleeps on.
type word struct {
	key  key
	addr uintptr
	val  uint32
}

// entry is a thread in the queue of a word.
type entry struct {
	key    key
	thread *Thread
	slot   int // of the words it sleeps on
	woken  bool
}

// sleep is a thread's stay in the kernel.
type sleep struct{ expired bool }

func (w *World) keyOf(addr uintptr, private bool) key {
	if offset, ok := w.offset(addr); ok && !private {
		return key{nil, offset}
	}
	return key{w.current.Process, uint64(addr)}
}

func (w *World) kindOf(k key) kind {
	if k.private == nil {
		return shared
	}
	return local
}

func load32(addr uintptr) uint32 { return *(*uint32)(at(addr)) }

// wait sleeps until one of the words is woken, and returns its index: the last one's if
// there are several (P-K17). Comparing and going to sleep are one step. Who was woken
// by one word stays in the queues of the others until it runs.
func (w *World) futexWait(words []word, until int64) (int, unix.Errno) {
	t := w.current
	k := local
	for _, x := range words {
		k = max(k, w.kindOf(x.key))
	}
	w.point(k)
	for _, x := range words {
		if load32(x.addr) != x.val {
			w.trace("does not sleep: a word has changed   " + w.place())
			return 0, unix.EAGAIN
		}
	}
	t.sleep = &sleep{}
	for i, x := range words {
		w.queue = append(w.queue, &entry{key: x.key, thread: t, slot: i})
	}
	var limit *timer
	if until != never {
		limit = w.startTimer(until-w.clock, false, func() { t.sleep.expired = true; t.wake() })
	}
	w.block(t, what(words))
	s := t.sleep
	slot := w.leaveQueues(t)
	if limit != nil {
		limit.stop()
	}
	switch {
	case slot >= 0:
		return slot, 0
	case s.expired:
		return 0, unix.ETIMEDOUT
	}
	return 0, unix.EINTR
}

const never = 1<<63 - 1

// String names the word.
func (k key) String() string {
	if k.private != nil {
		return "a word of its own"
	}
	return nameOf(k.place)
}

// what names what a thread sleeps on, shared if it can.
func what(words []word) string {
	s := words[0].key.String()
	for _, x := range words {
		if x.key.private == nil {
			s = x.key.String()
		}
	}
	return "a wake of " + s
}

// leaveQueues takes a thread out of the kernel's queues, and returns the last word of
// its that was woken, or -1.
func (w *World) leaveQueues(t *Thread) int {
	last := -1
	w.queue = slices.DeleteFunc(w.queue, func(e *entry) bool {
		if e.thread == t && e.woken {
			last = max(last, e.slot)
		}
		return e.thread == t
	})
	t.sleep = nil
	return last
}

// futexWake wakes up to n sleepers, first come, first served; one even if n is 0
// (P-K21).
func (w *World) futexWake(k key, n int) (woken int) {
	for _, e := range w.queue {
		if e.key != k || e.woken {
			continue
		}
		e.woken = true
		e.thread.wake()
		w.tracef("  wakes %v", e.thread)
		if woken++; woken >= n {
			break
		}
	}
	return woken
}

// poke interrupts a thread that sleeps.
func (w *World) poke(t *Thread) {
	if t.sleep != nil {
		t.wake()
	}
}

func (w *World) place() string {
	if !w.Trace {
		return ""
	}
	return caller()
}
