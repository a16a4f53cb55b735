package shm

import "unsafe"

// Preconditions, checked by place: T holds no pointers, and n > 0 values of it
// lie inside mem, aligned.

func cast[T any](mem []byte, off int) *T {
	return (*T)(unsafe.Pointer(&mem[off]))
}

func castSlice[T any](mem []byte, off, n int) []T {
	return unsafe.Slice(cast[T](mem, off), n)
}
