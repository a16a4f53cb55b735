//go:build !amd64 && !arm64

package fence

import "sync/atomic"

// fenced is what full writes to. One word for the whole process: slow under
// contention, and right. An architecture that minds gets a stub.
var fenced atomic.Uint32

// full is an atomic read-modify-write, which Go compiles with more than we need on
// every weakly ordered architecture: a barrier for loads and for stores (ppc64
// LWSYNC, mips64 SYNC), or an operation with acquire and release in one (riscv64
// AMOADD.AQRL, loong64 AMADDDB).
func full() { fenced.Add(1) }

// Loads keeps every load before it in program order before every load after it.
func Loads() { full() }

// Stores keeps every store before it in program order before every store after it.
func Stores() { full() }
