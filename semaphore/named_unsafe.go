package semaphore

import "unsafe"

// overlay is the semaphore at the start of a mapping.
func overlay(mem []byte) *Semaphore {
	return (*Semaphore)(unsafe.Pointer(unsafe.SliceData(mem)))
}

// span is where a mapping lies, for package region.
func span(mem []byte) (lo, hi uintptr) {
	lo = uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	return lo, lo + uintptr(len(mem))
}
