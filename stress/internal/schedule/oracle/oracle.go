// Package oracle knows what must hold in every schedule. The roles tell it what they
// do; nothing of that is a step that anybody could come between.
//
//	mutex.go      one holder at a time; an orphan is reported exactly when there is one
//	semaphore.go  permits are neither lost nor made
//	seqlock.go    no torn, old or cancelled value is read
package oracle

import "interlock/stress/internal/schedule/sim"

// A Setting is what a scenario asks of its roles.
type Setting struct {
	Permits uint32 // of the semaphore
	Warm    bool   // each process has had the mutex before
	Repairs bool   // each process can repair what the mutex guards
}

// state is what is known of the execution under way.
var state struct {
	Setting
	mutex
	semaphore
	seqlock
}

// Offsets of words in the shared memory.
var Offsets struct{ Word, Permits, Items, Signals uint64 }

// Begin forgets the last execution.
func Begin(s Setting) {
	state.Setting = s
	state.mutex, state.semaphore, state.seqlock = mutex{}, semaphore{}, seqlock{}
}

// Set is what the scenario asks of its roles.
func Set() Setting { return state.Setting }

// Final is what is wrong when everybody has played his part, or "".
func Final() string {
	if s := state.mutex.final(); s != "" {
		return s
	}
	return state.semaphore.final(state.Permits)
}

// Watch is told of each change of shared memory.
func Watch(offset, was, now uint64) {
	if offset == Offsets.Word {
		state.mutex.changed(uint32(was), uint32(now))
	}
}

// Permits, Items and Signals are what the words hold.
func Permits() uint32 { return sim.Peek(Offsets.Permits) }
func Items() uint32   { return sim.Peek(Offsets.Items) }
func Signals() uint32 { return sim.Peek(Offsets.Signals) }
