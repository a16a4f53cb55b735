package semaphore

import "unsafe"

// seaAt is the sea at the start of a mapping.
func seaAt(mem []byte) *sea {
	_ = mem[:unsafe.Sizeof(sea{})]
	return (*sea)(unsafe.Pointer(unsafe.SliceData(mem)))
}
