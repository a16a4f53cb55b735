// Package wrongfutex waits and wakes with the flag that what is shared must not have.
// It is how the Go runtime, Rust's standard library and nsync do it, each for the
// threads of one process. The demo private-futex shows what comes of it.
package wrongfutex

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	opWait      = 0
	opWake      = 1
	flagPrivate = 128
)

// Wait sleeps while *addr is val, until a Wake of this package by the same process.
func Wait(addr *atomic.Uint32, val uint32) {
	const op = opWait | flagPrivate // private: what must not be done is what is to be shown
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), op, uintptr(val), 0, 0, 0)
}

// Wake rouses up to n sleepers, and says how many.
func Wake(addr *atomic.Uint32, n int) int {
	const op = opWake | flagPrivate // private: as in Wait
	woken, _, _ := unix.RawSyscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), op, uintptr(n))
	return int(woken)
}
