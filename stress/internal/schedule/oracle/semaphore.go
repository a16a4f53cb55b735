package oracle

import (
	"fmt"
	"slices"

	"interlock/stress/internal/schedule/sim"
)

type semaphore struct {
	held   int           // permits of those who came back with one, and have not begun to give it back
	taking []*sim.Thread // in the middle of an Acquire
	giving []*sim.Thread // in the middle of a Release
}

// Taking says that the current thread is about to acquire a permit.
func Taking() { state.taking = append(state.taking, sim.Current()) }

// Taken says whether it has one.
func Taken(got bool) {
	state.taking = without(state.taking)
	if !got {
		return
	}
	if state.held++; state.held > int(state.Permits) {
		sim.Fail("%v has a permit: of %d, %d are held", sim.Current(), state.Permits, state.held)
	}
}

// Giving says that it is about to give its permit back.
func Giving() {
	state.held--
	state.giving = append(state.giving, sim.Current())
}

// Given says that it has.
func Given() { state.giving = without(state.giving) }

func without(list []*sim.Thread) []*sim.Thread {
	return slices.DeleteFunc(list, func(t *sim.Thread) bool { return t == sim.Current() })
}

// final: who died in the middle of a call may have done it, or not.
func (s *semaphore) final(permits uint32) string {
	value, waiters := int(sim.Peek(Offsets.Permits)), sim.Peek(Offsets.Permits+4)
	most := int(permits) - s.held
	least := most - len(s.taking) - len(s.giving)
	switch {
	case value < least || value > most:
		return fmt.Sprintf("at the end there are %d permits, not %d to %d", value, least, most)
	case sim.Kills() == 0 && waiters != 0:
		return fmt.Sprintf("at the end nobody waits, and %d are counted as waiting", waiters)
	}
	return ""
}
