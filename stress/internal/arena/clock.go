package arena

// Now is CLOCK_MONOTONIC in nanoseconds: the same clock in every process of
// this machine.
func Now() int64 { return nanotime() }
