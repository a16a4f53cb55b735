// Package race tells the race detector about synchronisation that it cannot see.
//
// The detector ignores atomics outside the Go heap (P-G4), so a lock in shared
// memory orders nothing for it: heap data that the lock guards would be reported
// falsely. It can be told of an order with runtime.RaceAcquire and RaceRelease,
// but only at a Go-heap address. So in race builds every shared address gets one
// small heap object, its shadow, and Acquire and Release announce on that.
// In other builds all functions are empty and inlined away.
//
// Every primitive says, with the address of its own first word:
//
//	race.Release(addr)      // before the store that lets others in
//	race.Acquire(addr)      // after the load or CAS that let us in
//
// ReleaseMerge is Release for an object that several may release before one
// acquires (a semaphore): Release forgets earlier releases, ReleaseMerge adds.
//
// Looking up the shadow must itself order nothing, or a first use would hide
// races of others; it runs with synchronisation events ignored.
//
// Limits. The key is the address, so memory mapped twice in one process has two
// shadows: goroutines that lock through different mappings are not ordered for
// the detector, and may be reported falsely. And the detector sees one process:
// it never reports a race between two.
package race
