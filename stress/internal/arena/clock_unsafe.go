package arena

import _ "unsafe" // for linkname

// nanotime is what Go's own clock readings are made of: CLOCK_MONOTONIC in nanoseconds,
// without a system call. A distance to it, measured once in each process, would be off by
// as much as somebody else was on the CPU just then; and two processes' operations
// could not be put in order.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64
