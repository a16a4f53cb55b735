package arena

import (
	"fmt"
	"unsafe"
)

// At lays a T over mem at off. The harness lays out its own memory, so a bad
// offset is a bug of the harness and panics.
func At[T any](mem []byte, off int) *T {
	var zero T
	size := int(unsafe.Sizeof(zero))
	if off < 0 || off%8 != 0 || off+size > len(mem) {
		panic(fmt.Sprintf("arena: %T (%d bytes) at %d does not fit %d bytes", zero, size, off, len(mem)))
	}
	return (*T)(unsafe.Pointer(&mem[off]))
}

// SizeOf is the size of a T in the arena.
func SizeOf[T any]() int {
	var zero T
	return int(unsafe.Sizeof(zero))
}

// Word reads the 32-bit word at the start of *p, for diagnosis only: it shows
// a primitive's state word without asking the primitive.
func Word[T any](p *T, index int) uint32 {
	words := unsafe.Slice((*uint32)(unsafe.Pointer(p)), SizeOf[T]()/4)
	return loadWord(&words[index])
}

// Address is where this process sees *p.
func Address[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

// Bytes is the memory of *p.
func Bytes[T any](p *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), SizeOf[T]())
}

// Words is the same, word by word; what a T has behind the last whole one is left out.
func Words[T any](p *T) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(p)), SizeOf[T]()/8)
}

//go:noinline
func loadWord(p *uint32) uint32 { return *p }
