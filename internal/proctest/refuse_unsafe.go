package proctest

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// envNoWaitv asks a child to start itself again where futex_waitv is refused.
const envNoWaitv = "INTERLOCK_TEST_NO_WAITV"

// RefuseWaitv makes the kernel answer EPERM to futex_waitv, in all threads of
// this process, in what it executes, and for good: a container's filter that was
// written before the call existed (P-K13).
func RefuseWaitv() error {
	if Missing(sysFutexWaitv) {
		return nil
	}
	// The promise to gain no privileges is this thread's; TSYNC gives it to the others.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: sysFutexWaitv, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	filter := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER,
		unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// Missing reports whether there is no such system call: in an old kernel, or an
// emulator. Then nobody need refuse it, and an emulator cannot.
func Missing(call uintptr) bool {
	_, _, errno := unix.Syscall6(call, 0, 0, 0, 0, 0, 0)
	return errno == unix.ENOSYS
}

// NeedsRobustLists skips a test of what the kernel does at a death, and of the links by
// which it does, where it does nothing of the kind.
func NeedsRobustLists(t testing.TB) {
	t.Helper()
	if Missing(unix.SYS_SET_ROBUST_LIST) {
		t.Skip("no robust lists here: the kernel marks nothing")
	}
}

// NeedsWaitv skips a test of how little it costs to wait for many words.
func NeedsWaitv(t testing.TB) {
	t.Helper()
	if Missing(sysFutexWaitv) {
		t.Skip("no futex_waitv here (P-K13)")
	}
}

// WithoutWaitv starts the child where futex_waitv is refused: by a filter that is
// there before the child's first instruction, as a container's is.
func WithoutWaitv() Option { return Env(envNoWaitv + "=1") }

func init() {
	if os.Getenv(envNoWaitv) == "" {
		return
	}
	os.Unsetenv(envNoWaitv)
	err := RefuseWaitv()
	if err == nil {
		err = unix.Exec("/proc/self/exe", os.Args, os.Environ())
	}
	newChild().Fatalf("without futex_waitv: %v", err)
}
