package futex

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// word is the 32-bit word at offset off of a mapping.
func word(mem []byte, off int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&mem[off]))
}

// count is the 64-bit counter at offset off of a mapping.
func count(mem []byte, off int) *atomic.Int64 {
	return (*atomic.Int64)(unsafe.Pointer(&mem[off]))
}

// nowhere is a word at an address that is never mapped: below mmap_min_addr.
func nowhere() *atomic.Uint32 {
	addr := uintptr(4096)
	return *(**atomic.Uint32)(unsafe.Pointer(&addr))
}

// mapped maps a page of f with these permissions until the test's end.
func mapped(t *testing.T, f *os.File, prot int) []byte {
	t.Helper()
	mem, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), prot, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	return mem
}

// forbidWaitv makes every thread of this process get errno from futex_waitv, by
// seccomp, as filters of containers do. It cannot be undone.
func forbidWaitv(errno unix.Errno) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_FUTEX_WAITV, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if e != 0 {
		return e
	}
	return nil
}

// tryWaitv makes a futex_waitv call that returns at once where it is allowed.
func tryWaitv() unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX_WAITV, 0, 0, 1<<30, 0, 0, 0)
	return errno
}
