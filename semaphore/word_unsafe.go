package semaphore

import (
	"sync/atomic"
	"unsafe"
)

// futex is the half of data that holds the value: the lower addresses on a
// little-endian machine, which is what Linux on amd64 and arm64 is.
func (s *Semaphore) futex() *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&s.data))
}

func (s *Semaphore) addr() uintptr { return uintptr(unsafe.Pointer(s)) }

// The layout is frozen: it is glibc's. Each line fails to compile if it moves.
var (
	_ [32]byte = [unsafe.Sizeof(Semaphore{})]byte{}
	_ [8]byte  = [unsafe.Offsetof(Semaphore{}.private)]byte{}
)
