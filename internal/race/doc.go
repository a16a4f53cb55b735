// Package race tells the race detector about synchronisation that it cannot see.
//
// The detector ignores atomics outside the Go heap (P-G4), so a lock in shared
// memory orders nothing for it: heap data that the lock guards would be reported
// falsely. It can be told of an order with runtime.RaceAcquire and RaceRelease,
// but only at a Go-heap address. So in race builds every shared word gets one
// small heap object, its shadow, and Acquire and Release announce on that.
// In other builds all functions are empty and inlined away.
//
//	race_unsafe.go  the announcements
//	object.go       the table: from addresses to shadows
//	maps.go         what is mapped at an address
//	racetest        what the tests of the primitives ask the detector with
//
// Every primitive says, with the address of its own first word:
//
//	race.Release(addr)      // before the store that lets others in
//	race.Acquire(addr)      // after the load or CAS that let us in
//
// ReleaseMerge is Release for an object that several may release before one
// acquires (a semaphore): Release forgets earlier releases, ReleaseMerge adds.
// A call that fails announces nothing: an order that does not exist would hide
// the races of others.
//
// One word has one shadow, however often its memory is mapped. At its first use an
// address is resolved to device, inode and offset, with /proc/self/maps. What is
// private to the process, and everything where /proc does not tell, is known by
// its address. A look-up of a known address takes about 0.2 µs, a first one 2 µs; the
// first in each mapping reads all of /proc/self/maps, about 1 µs for each mapping
// that the process has.
//
// Looking up the shadow must itself order nothing, or a first use would hide
// races of others; it runs with synchronisation events ignored.
//
// Limits:
//
//   - The detector sees one process: it never reports a race between two.
//   - Memory that is replaced without Forget (mutex.Detach, Segment.Close) by other
//     memory at the same address keeps the shadows of the first: data that two
//     mappings guard may be reported falsely, or a race be missed.
//   - Two files with one inode number on one device, as btrfs has them in different
//     subvolumes, share shadows at equal offsets: a race may be missed.
//   - The library's own locks are synchronisation too. Goroutines that both had to
//     wait, or both used something for the first time, may count as ordered even
//     where the calls have failed: a race may be missed, none is made up.
package race
