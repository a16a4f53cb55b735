package shm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Child processes are this test binary again: children[NAME] runs instead of
// the tests when SHM_CHILD=NAME is set. It reports by its exit status, and by
// what it prints.
var children = map[string]func(arg []string) error{}

func TestMain(m *testing.M) {
	if name := os.Getenv("SHM_CHILD"); name != "" {
		if err := children[name](strings.Split(os.Getenv("SHM_ARG"), "|")); err != nil {
			fmt.Fprintln(os.Stderr, "child", name+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if left := leftovers(shmDir); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "FAIL: left in", shmDir+":", left)
		code = 1
	}
	if left := sysvLeftovers(); len(left) > 0 {
		fmt.Fprintln(os.Stderr, "FAIL: left of System V:", left)
		code = 1
	}
	os.Exit(code)
}

// runID is in every name this run makes, so that leftovers are known as ours.
var runID = fmt.Sprintf("iltest%d-", os.Getpid())

var nameCount atomic.Int64

// newName returns an unused name and removes it, whatever becomes of it, at
// the end of the test.
func newName(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("/%s%d", runID, nameCount.Add(1))
	t.Cleanup(func() { Remove(name) })
	return name
}

func leftovers(dir string) []string {
	all, _ := os.ReadDir(dir)
	var left []string
	for _, e := range all {
		if strings.Contains(e.Name(), runID) || strings.HasPrefix(e.Name(), reserved+"tmp-") {
			left = append(left, e.Name())
		}
	}
	return left
}

// child prepares a child process; it is killed if it takes a minute.
func child(t testing.TB, name string, arg ...string) *exec.Cmd {
	t.Helper()
	if children[name] == nil {
		t.Fatalf("no child %q", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	// /proc/self/exe, for another user may not reach the binary by its path.
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), "SHM_CHILD="+name, "SHM_ARG="+strings.Join(arg, "|"))
	// The race detector would otherwise rest a second before each exit.
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0 "+os.Getenv("GORACE"))
	cmd.Stderr = os.Stderr
	cmd.Dir = "/"
	return cmd
}

func mustRun(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("child: %v\n%s", err, out)
	}
	return string(out)
}

// killedBy reports whether a finished command died of SIGKILL.
func killedBy(err error) bool {
	e, ok := err.(*exec.ExitError)
	return ok && e.Sys().(interface{ Signal() unix.Signal }).Signal() == unix.SIGKILL
}

// killAtStep makes this process SIGKILL itself at the k-th step (from 1) and
// print what the step was.
func killAtStep(k int) {
	n := 0
	step = func(what string) {
		if n++; n == k {
			fmt.Println(what)
			unix.Kill(os.Getpid(), unix.SIGKILL)
			select {}
		}
	}
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func closeNow(t testing.TB, s *Segment) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// ownDir points shmDir at a directory of this test alone.
func ownDir(t testing.TB) string {
	t.Helper()
	old := shmDir
	shmDir = filepath.Join(old, runID+"dir")
	if err := os.MkdirAll(shmDir, 0o777); err != nil {
		t.Fatal(err)
	}
	os.Chmod(shmDir, os.ModeSticky|0o777) // as /dev/shm itself
	t.Cleanup(func() { os.RemoveAll(shmDir); shmDir = old })
	return shmDir
}
