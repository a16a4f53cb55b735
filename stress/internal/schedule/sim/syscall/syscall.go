// Package syscall stands in for the syscall of Go.
package syscall

import "interlock/stress/internal/schedule/sim/unix"

// RawSyscall makes a system call.
//
//go:uintptrescapes
func RawSyscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, errno unix.Errno) {
	return unix.Syscall6(trap, a1, a2, a3, 0, 0, 0)
}

// RawSyscall6 makes a system call.
//
//go:uintptrescapes
func RawSyscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, errno unix.Errno) {
	return unix.Syscall6(trap, a1, a2, a3, a4, a5, a6)
}
