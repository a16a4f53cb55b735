// Package spin stands in for interlock/internal/spin.
package spin

import "interlock/stress/internal/schedule/sim"

// Pause leaves the CPU to others: who spins waits for them.
func Pause(n uint32) { sim.Yield() }
