//go:build race

package race

import (
	"runtime"
	"sync"
	"unsafe"
)

// Enabled reports whether this is a -race build.
const Enabled = true

// A shadow stands on the heap for one shared address. Its contents are never
// used. Sixteen bytes keep it out of the allocator's shared tiny blocks.
type shadow [2]uint64

// shadows maps an address, uintptr, to its *shadow. Package sync is not
// instrumented by the detector, so its map may be used while events are ignored.
var shadows sync.Map

// at returns the shadow of addr, made at the first call.
func at(addr uintptr) unsafe.Pointer {
	runtime.RaceDisable() // the map's own atomics must not order the callers
	defer runtime.RaceEnable()
	s, ok := shadows.Load(addr)
	if !ok {
		s, _ = shadows.LoadOrStore(addr, new(shadow))
	}
	return unsafe.Pointer(s.(*shadow))
}

// Acquire says: what happened before the last Release at addr, and the
// ReleaseMerges since, happened before this call.
func Acquire(addr uintptr) { runtime.RaceAcquire(at(addr)) }

// Release says: what happened before this call happens before the next Acquire
// at addr. Earlier releases that nobody acquired are forgotten.
func Release(addr uintptr) { runtime.RaceRelease(at(addr)) }

// ReleaseMerge is Release that keeps earlier releases.
func ReleaseMerge(addr uintptr) { runtime.RaceReleaseMerge(at(addr)) }

// Forget drops the shadows of [lo, hi): whatever is mapped there next is another
// object. Call it before the memory is unmapped.
func Forget(lo, hi uintptr) {
	runtime.RaceDisable()
	defer runtime.RaceEnable()
	shadows.Range(func(key, _ any) bool {
		if addr := key.(uintptr); lo <= addr && addr < hi {
			shadows.Delete(key)
		}
		return true
	})
}
