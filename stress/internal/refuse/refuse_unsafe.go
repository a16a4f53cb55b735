// Package refuse makes the kernel refuse this process some calls, as filters of
// containers do. Of those that came with Linux 5.16 and later, futex_waitv is the one that
// matters: without it the library has to wait by other means (P-K13).
package refuse

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newest is the last call of Linux 5.15; numbers are the same everywhere since
// 5.1 and only grow.
const newest = unix.SYS_PROCESS_MRELEASE

// NewCalls installs the filter, in all threads of this process and for good.
func NewCalls() error { return install(unix.BPF_JGT, newest) }

// Call is for one call, likewise.
func Call(number uint32) error { return install(unix.BPF_JEQ, number) }

// install refuses the calls whose numbers compare so with number.
func install(compare uint16, number uint32) error {
	const loadNumber, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_RET | unix.BPF_K
	prog := []unix.SockFilter{
		{Code: loadNumber},
		{Code: unix.BPF_JMP | compare | unix.BPF_K, Jf: 1, K: number},
		{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	// TSYNC gives the flag above, which is this thread's alone, to the others too.
	tid, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&fprog)))
	switch {
	case errno != 0:
		return fmt.Errorf("seccomp: %w", errno)
	case tid != 0:
		return fmt.Errorf("seccomp: thread %d has a filter of its own", tid)
	}
	return nil
}

// KernelHasWaitv says whether the kernel has futex_waitv, if no filter refuses it.
func KernelHasWaitv() bool {
	var u unix.Utsname
	var major, minor int
	if unix.Uname(&u) == nil {
		_, _ = fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	}
	return major > 5 || major == 5 && minor >= 16
}
