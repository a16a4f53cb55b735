package park

import (
	"sync/atomic"
	"unsafe"
)

// key is the address by which a word is known inside this process. Two
// mappings of one word are two keys: each then has a sleeper of its own in the
// kernel, which knows that they are one.
func key(word *atomic.Uint32) uintptr { return uintptr(unsafe.Pointer(word)) }
