// Package runtime stands in for the runtime of Go. Each goroutine has a thread.
package runtime

import (
	"runtime"

	"interlock/stress/internal/schedule/sim"
)

// NumCPU is 1, so that nobody stays awake to wait: that only looks again at what a
// waiter looks at anyway.
func NumCPU() int { return 1 }

// GOMAXPROCS is 2.
func GOMAXPROCS(int) int { return 2 }

// Gosched leaves the CPU to others.
func Gosched() { sim.Yield() }

// LockOSThread does nothing: a goroutine keeps its thread.
func LockOSThread() {}

// UnlockOSThread does nothing.
func UnlockOSThread() {}

// KeepAlive keeps v.
func KeepAlive(v any) { runtime.KeepAlive(v) }

// MayHaveThreads is how many waiters get a thread of their own to sleep with, of those
// that could.
func MayHaveThreads(most int) int {
	if sim.Pooled() {
		return 0
	}
	return most
}
