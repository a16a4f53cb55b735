package racetest

import "unsafe"

// At lays a T over shared memory.
func At[T any](mem []byte, off int) *T {
	_ = mem[off : off+int(unsafe.Sizeof(*new(T)))]
	return (*T)(unsafe.Pointer(&mem[off]))
}

// Addr is where memory begins.
func Addr(mem []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(mem))) }

func address(n *int) uintptr { return uintptr(unsafe.Pointer(n)) }
