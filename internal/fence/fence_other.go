//go:build !amd64 && !arm64

package fence

import "sync/atomic"

// fenced is what full writes to. One word for the whole process: slow under
// contention, and right. An architecture that minds gets a stub.
var fenced atomic.Uint32

// full is a sequentially consistent read-modify-write; Go emits full barriers
// around it on every weakly ordered architecture (loong64 DBAR, ppc64 SYNC,
// riscv64 AMO.aq.rl, s390x is strongly ordered).
func full() { fenced.Add(1) }

// Loads keeps every load before it in program order before every load after it.
func Loads() { full() }

// Stores keeps every store before it in program order before every store after it.
func Stores() { full() }
