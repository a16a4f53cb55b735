//go:build race

package race

import (
	"runtime"
	"unsafe"
)

// Enabled reports whether this is a -race build.
const Enabled = true

// Acquire says: what happened before the last Release at addr, and the
// ReleaseMerges since, happened before this call.
func Acquire(addr uintptr) { runtime.RaceAcquire(shadow(addr)) }

// Release says: what happened before this call happens before the next Acquire
// at addr. Earlier releases that nobody acquired are forgotten.
func Release(addr uintptr) { runtime.RaceRelease(shadow(addr)) }

// ReleaseMerge is Release that keeps earlier releases.
func ReleaseMerge(addr uintptr) { runtime.RaceReleaseMerge(shadow(addr)) }

// Forget drops the addresses [lo, hi): what is mapped there next is another
// object. Call it before the memory is unmapped.
func Forget(lo, hi uintptr) {
	runtime.RaceDisable()
	defer runtime.RaceEnable()
	span{lo: lo, hi: hi}.forget()
}

// shadow returns the heap address that stands for addr.
func shadow(addr uintptr) unsafe.Pointer {
	// Neither the table's lock and atomics nor the reading of /proc may order
	// the callers.
	runtime.RaceDisable()
	defer runtime.RaceEnable()
	return unsafe.Pointer(lookup(addr))
}

// Hide stops the detector from noting what orders the caller, until Show: for a
// look at the library's own words that must not order its callers.
func Hide() { runtime.RaceDisable() }

// Show ends Hide.
func Show() { runtime.RaceEnable() }
