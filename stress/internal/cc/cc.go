// Package cc builds the C programs that stress runs beside its own: the peers of a
// comparison, and the workers of the scenario interop.
package cc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// ErrNone says that this machine has no C compiler.
var ErrNone = errors.New("no C compiler, gcc")

// Build builds program with gcc from what args name. An error of the compiler's begins
// with its first complaint.
func Build(ctx context.Context, program string, args ...string) error {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return ErrNone
	}
	args = append([]string{"-O2", "-Wall", "-pthread", "-o", program}, args...)
	cmd := exec.CommandContext(ctx, gcc, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Dir(program)) // where the caller tidies up
	runtime.LockOSThread()                                          // the kernel ends gcc with the thread that started it
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) } // the compiler proper, too
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
