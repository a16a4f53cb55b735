// Package mark stands in for interlock/internal/mark: a mark is a line of a trace.
package mark

import "interlock/stress/internal/schedule/sim"

// At notes that a named point between two steps is passed.
func At(name string) { sim.Mark(name) }
