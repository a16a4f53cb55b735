package shm

import "unsafe"

func mustAddr[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }
