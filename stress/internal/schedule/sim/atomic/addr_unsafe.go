package atomic

import "unsafe"

func (x *word[T]) addr() uintptr { return uintptr(unsafe.Pointer(x)) }
