package park

import (
	"sync/atomic"
	"unsafe"
)

// at is the word at an offset.
func at(mem []byte, off int) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&mem[off])) }
