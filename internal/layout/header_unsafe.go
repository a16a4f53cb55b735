package layout

import (
	"sync/atomic"
	"unsafe"
)

// MarkReady publishes an encoded header: the one atomic store, made last, so
// that whoever sees StateReady sees every byte written before it. mem must
// begin where the mapping begins (its alignment is then certain).
func MarkReady(mem []byte) {
	(*atomic.Uint32)(unsafe.Pointer(&mem[:PayloadOffset][offState])).Store(StateReady)
}
