package sigbus

import "unsafe"

func addr(mem []byte) uintptr { return uintptr(unsafe.Pointer(&mem[0])) }
