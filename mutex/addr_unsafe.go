package mutex

import (
	"unsafe"

	"interlock/internal/robust"
)

func (m *Mutex) addr() uintptr { return uintptr(unsafe.Pointer(m)) }

func sliceAddr(mem []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(mem))) }

// The layout is frozen: it is glibc's. Each line fails to compile if it moves.
var (
	_ [40]byte             = [unsafe.Sizeof(Mutex{})]byte{}
	_ [robust.OffWord]byte = [unsafe.Offsetof(Mutex{}.word)]byte{}
	_ [8]byte              = [unsafe.Offsetof(Mutex{}.owner)]byte{}
	_ [16]byte             = [unsafe.Offsetof(Mutex{}.kind)]byte{}
	_ [robust.OffPrev]byte = [unsafe.Offsetof(Mutex{}.prev)]byte{}
	_ [robust.OffNext]byte = [unsafe.Offsetof(Mutex{}.next)]byte{}
	_ [8]byte              = [unsafe.Alignof(Mutex{})]byte{}
)
