package seqlock

import (
	"interlock/internal/fence"
	"interlock/internal/layout"
	"interlock/internal/race"
)

// What the generic methods need of other packages, under names of this one. They are
// compiled in the package that uses them, and there the compiler knows of a third
// package only what an inlinable function of this one calls. Without these, a Load of
// 64 bytes makes three calls more.

func known(pointer any) bool { return layout.Known(pointer) }

func fenceLoads() { fence.Loads() }

func acquire(addr uintptr) { race.Acquire(addr) }

func releaseMerge(addr uintptr) { race.ReleaseMerge(addr) }
