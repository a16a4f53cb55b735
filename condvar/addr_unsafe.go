package condvar

import "unsafe"

func (c *Cond) addr() uintptr { return uintptr(unsafe.Pointer(c)) }

// The layout is shared with other programs: the line fails to compile if it moves.
var _ [16]byte = [unsafe.Sizeof(Cond{})]byte{}
