package refuse

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

const asChild = "INTERLOCK_REFUSE_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) == "" {
		os.Exit(m.Run())
	}
	if err := NewCalls(); err != nil {
		println(err.Error())
		os.Exit(2)
	}
	os.Exit(int(waitv()))
}

// waitv is a call that is wrong and waits for nothing.
func waitv() unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX_WAITV, 0, 0, 0, 0, 0, 0)
	return errno
}

func TestKernelHasWaitv(t *testing.T) {
	if has := waitv() == unix.EINVAL; has != KernelHasWaitv() {
		t.Skipf("by its version %v, by the call %v: this machine has a filter of its own", KernelHasWaitv(), has)
	}
}

// The filter is for good, so a child takes it.
func TestWaitvIsRefused(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), asChild+"=1")
	out, err := cmd.CombinedOutput()
	switch code := cmd.ProcessState.ExitCode(); code {
	case 2:
		t.Skipf("no filter here: %s", out)
	case int(unix.EPERM):
	default:
		t.Errorf("after the filter the kernel answers futex_waitv with %v, want EPERM: %v %s", unix.Errno(code), err, out)
	}
}
