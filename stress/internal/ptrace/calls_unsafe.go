//go:build amd64

package ptrace

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func request(req, tid int, addr, data uintptr) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(req), uintptr(tid), addr, data, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// seize attaches to a thread without stopping it.
func seize(tid int, options uintptr) error {
	_, err := request(unix.PTRACE_SEIZE, tid, 0, options)
	return err
}

// callInfo is the head of the kernel's struct ptrace_syscall_info, on entry.
type callInfo struct {
	op   uint8
	_    [3]uint8
	arch uint32
	pc   uint64
	sp   uint64
	nr   uint64
	_    [6]uint64
}

// syscallInfo tells on which side of a system call a thread stands.
func syscallInfo(tid int) (callInfo, error) {
	var info callInfo
	_, err := request(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info)))
	return info, err
}

// byTrap reports whether a thread stands behind a trap, and not behind a step.
func byTrap(tid int) bool {
	const fromKernel = 0x80 // SI_KERNEL
	var info struct {
		signo, errno, code int32
		_                  [116]byte
	}
	_, err := request(unix.PTRACE_GETSIGINFO, tid, 0, uintptr(unsafe.Pointer(&info)))
	return err == nil && info.code == fromKernel
}
