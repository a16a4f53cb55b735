package oracle

import (
	"slices"

	"interlock/stress/internal/schedule/sim"
)

// A value that is stored is a number, in each of its words.
type seqlock struct {
	last      uint64 // number handed out
	done      uint64 // stored, and Store has returned
	cancelled []uint64
	unordered bool // a greater number may be stored before a smaller one
}

// Number is a value to store.
func Number() uint64 {
	state.last++
	return state.last
}

// Unordered is Number for a writer that does not hold the writers' lock yet.
func Unordered() uint64 {
	state.unordered = true
	return Number()
}

// Stored says that a Store of n has returned; ok: without an error.
func Stored(n uint64, ok bool) {
	if !ok {
		state.cancelled = append(state.cancelled, n)
		return
	}
	state.done = max(state.done, n)
}

// Latest is what a Load that begins now must find, or something later.
func Latest() uint64 { return state.done }

// Loaded checks what a Load has found that began when the latest value was known.
func Loaded(words []uint64, latest uint64) {
	t := sim.Current()
	n := words[0]
	if slices.ContainsFunc(words, func(w uint64) bool { return w != n }) {
		sim.Fail("%v has read a torn value: %d", t, words)
	}
	if n < latest && !state.unordered || n > state.last {
		sim.Fail("%v has read %d, and the latest value was %d", t, n, latest)
	}
	if slices.Contains(state.cancelled, n) {
		sim.Fail("%v has read %d, whose Store had failed", t, n)
	}
}

// WriterDead says that a reader was told that a writer died.
func WriterDead() {
	if sim.Kills() == 0 {
		sim.Fail("%v was told that a writer died, and nobody has", sim.Current())
	}
}
