package seqlock

import "unsafe"

func addr[S any](s *S) uintptr { return uintptr(unsafe.Pointer(s)) }

// The layout is shared with other programs. Each line fails to compile if it moves.
var (
	_ [8]byte  = [unsafe.Offsetof(Seqlock[uint64]{}.mu)]byte{}
	_ [64]byte = [unsafe.Offsetof(Seqlock[uint64]{}.v)]byte{}
	_ [8]byte  = [unsafe.Offsetof(DoubleBuffer[uint64]{}.mu)]byte{}
	_ [64]byte = [unsafe.Offsetof(DoubleBuffer[uint64]{}.v)]byte{}
)
