package main

import (
	"unsafe"

	"interlock/mutex"
)

// over lays a lock over shared memory.
func over[T any](mem []byte) *T { return (*T)(unsafe.Pointer(&mem[0])) }

const mutexSize = int(unsafe.Sizeof(mutex.Mutex{}))
