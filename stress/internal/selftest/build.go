package selftest

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

// findModule is the root of the library's source: the module of the current
// directory, or the one that this program was built from.
func findModule(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", errors.New("the selftest builds the library, and there is no go command here")
	}
	for _, dir := range []string{".", builtFrom()} {
		if dir == "" {
			continue
		}
		cmd := command(ctx, dir, "go", "list", "-m", "-f", "{{.Dir}}", modulePath)
		out, err := cmd.Output()
		root := strings.TrimSpace(string(out))
		if err != nil || root == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, "stress", "main.go")); err == nil {
			return root, nil
		}
	}
	return "", fmt.Errorf("the selftest needs the source of module %s: run it inside a checkout", modulePath)
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

// build builds the stress command with an overlay, or without one.
func build(ctx context.Context, root, overlay, output string) error {
	args := []string{"build", "-o", output}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := command(ctx, root, "go", append(args, "./stress")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// command is a child that ends when ctx does, by SIGINT, so that it can put
// things in order, and that does not outlive us. The caller is locked to its
// thread, to which PDEATHSIG is tied.
func command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}
