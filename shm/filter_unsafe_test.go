package shm

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A refusal is a system call that a filter answers with errno: where argument
// arg, masked, has this value.
type refusal struct {
	call        uint32
	arg         uint32
	mask, value uint32
	errno       unix.Errno
}

// refuse installs a filter for all threads of this process, for good: it is
// for children.
func refuse(rules ...refusal) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	const load, equal = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	var prog []unix.SockFilter
	for _, r := range rules {
		prog = append(prog,
			unix.SockFilter{Code: load}, // the call's number
			unix.SockFilter{Code: equal, K: r.call, Jf: 4},
			unix.SockFilter{Code: load, K: 16 + 8*r.arg}, // the low half, on a little-endian machine
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: r.mask},
			unix.SockFilter{Code: equal, K: r.value, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(r.errno)})
	}
	prog = append(prog, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	filter := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}
