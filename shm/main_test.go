package shm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Child processes are this test binary again: children[NAME] runs instead of
// the tests when SHM_CHILD=NAME is set. It reports by its exit status, and by
// what it prints.
var children = map[string]func(arg []string) error{}

// breach is ten times the second within which a dead process's work is taken over:
// a busy machine is late, too.
const breach = 10 * time.Second

func TestMain(m *testing.M) {
	if name := os.Getenv("SHM_CHILD"); name != "" {
		if err := children[name](strings.Split(os.Getenv("SHM_ARG"), "|")); err != nil {
			fmt.Fprintln(os.Stderr, "child", name+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	witness := newWitness()
	code := m.Run()
	if witness != "" && os.Remove(witness) != nil {
		fmt.Fprintln(os.Stderr, "FAIL: something in", shmDir, "was removed that is no test's")
		code = 1
	}
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

// newWitness makes a file in shmDir that no test may touch, as little as they may
// touch what other programs have there. Of the processes of a run, the first has
// one.
func newWitness() string {
	const env = "SHM_WITNESS"
	if os.Getenv(env) != "" {
		return ""
	}
	f, err := os.CreateTemp(shmDir, "interlock-witness-")
	if err == nil {
		err = errors.Join(f.Close(), os.Setenv(env, f.Name()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return f.Name()
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

// leftovers are the names in dir of this run and its children; others may run the
// same tests at the same time.
func leftovers(dir string) []string {
	all, _ := os.ReadDir(dir)
	var left []string
	for _, e := range all {
		var maker int
		fmt.Sscanf(e.Name(), reserved+"tmp-%d-", &maker)
		if strings.Contains(e.Name(), runID) || isOurs(maker) {
			left = append(left, e.Name())
		}
	}
	return left
}

// family are the processes of this run; no other's names and segments are ours to
// judge.
var family struct {
	mu   sync.Mutex
	cmds []*exec.Cmd // some perhaps never started
	pids []int
}

// isOfFamily notes a process that child did not prepare.
func isOfFamily(pid int) {
	family.mu.Lock()
	defer family.mu.Unlock()
	family.pids = append(family.pids, pid)
}

// isOurs reports whether a process is, or was, of this run.
func isOurs(pid int) bool {
	family.mu.Lock()
	defer family.mu.Unlock()
	return pid == os.Getpid() || slices.Contains(family.pids, pid) ||
		slices.ContainsFunc(family.cmds, func(c *exec.Cmd) bool { return c.Process != nil && c.Process.Pid == pid })
}

// Leftovers must be seen, and be nobody else's.
func TestLeftoversAreOurOwn(t *testing.T) {
	dir := ownDir(t)
	cmd := child(t, "umask", "77", filepath.Join(dir, "nowhere"), "tmpfile")
	cmd.Stderr = nil
	if cmd.Run() == nil {
		t.Error("made something nowhere")
	}
	tmp := func(pid int) string { return fmt.Sprintf("%stmp-%d-0123456789abcdef", reserved, pid) }
	own := []string{tmp(os.Getpid()), tmp(cmd.Process.Pid), runID + "x", lockName(runID + "x")}
	for _, name := range append([]string{tmp(os.Getppid()), tmp(1), "iltest1-x", lockName("iltest1-x"), lockName("tmp-x")}, own...) {
		plant(t, name, nil)
	}
	slices.Sort(own)
	if left := leftovers(dir); !slices.Equal(left, own) {
		t.Errorf("taken for left: %q, want %q", left, own)
	}
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
	family.mu.Lock()
	defer family.mu.Unlock()
	family.cmds = append(family.cmds, cmd)
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
	old, dir := shmDir, filepath.Join(shmDir, runID+"dir")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, os.ModeSticky|0o777) // as /dev/shm itself
	shmDir = dir
	// Never what shmDir is by then: a test may have set it back.
	t.Cleanup(func() { os.RemoveAll(dir); shmDir = old })
	return dir
}
