// Package rebuild builds this program again from its source: with other source laid over
// it, for the selftest, or with the library's marks, for faults at named points.
//
//	rebuild.go  finds the source and builds
//	points.go   the names of the marks
//	marked.go   the program with marks, in place of this one
package rebuild

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
	"time"
)

const modulePath = "interlock"

// FindModule is the root of the library's source: the module of the current
// directory, or the one that this program was built from.
func FindModule(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", errors.New("this builds the library, and there is no go command here")
	}
	for _, dir := range []string{".", builtFrom()} {
		if dir == "" {
			continue
		}
		cmd := Command(ctx, dir, "go", "list", "-m", "-f", "{{.Dir}}", modulePath)
		out, err := cmd.Output()
		root := strings.TrimSpace(string(out))
		if err != nil || root == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, "stress", "main.go")); err == nil {
			return root, nil
		}
	}
	return "", fmt.Errorf("this needs the source of module %s: run it inside a checkout", modulePath)
}

// builtFrom is the source directory that the compiler wrote down; empty with
// -trimpath, or if it is not on this machine.
func builtFrom() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) {
		return ""
	}
	dir := filepath.Dir(file)
	if _, err := os.Stat(dir); err != nil {
		return ""
	}
	return dir
}

// Build builds the stress command of the source at root. flags are for go build, such as
// -overlay.
func Build(ctx context.Context, root, output string, flags ...string) error {
	return GoBuild(ctx, root, output, nil, append(flags, "./stress")...)
}

// GoBuild is go build in dir, with more in its environment. What it makes on the way is
// beside output, in the caller's own directory: go leaves that behind when it is interrupted
// or killed.
func GoBuild(ctx context.Context, dir, output string, env []string, args ...string) error {
	cmd := Command(ctx, dir, "go", append([]string{"build", "-o", output}, args...)...)
	beside := filepath.Dir(output)
	cmd.Env = append(os.Environ(), "TMPDIR="+beside, "GOTMPDIR="+beside) // the former is gcc's, for cgo
	cmd.Env = append(cmd.Env, env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// Command is a child that ends when ctx does, by SIGINT, so that it can put
// things in order, and that does not outlive us. The caller is locked to its
// thread, to which PDEATHSIG is tied.
func Command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) } // compilers, too
	cmd.WaitDelay = 5 * time.Second
	return cmd
}
