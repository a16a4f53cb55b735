package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"interlock/internal/mark"
	"interlock/stress/internal/demo"
	"interlock/stress/internal/lab"
	"interlock/stress/internal/report"
	"interlock/stress/internal/supervise"
	"interlock/stress/internal/tracer"
)

// How commands end before their time. Ctrl-C, or SIGTERM, in the middle: no process, nothing
// in /dev/shm, nothing in the temporary directory, code 130, and the report of what there is.
// kill -9: no process, and what stays behind is what stress clean removes.

// endingMark is in the environment of a command and of all that it starts.
const endingMark = "INTERLOCK_STRESS_ENDING"

// slowest is how long anything may take before it is a hang.
const slowest = 2 * time.Minute

// lastBreath is how long processes may live on whose parent was killed by kill -9.
const lastBreath = 30 * time.Second

// running is a command that has been started.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	mark  string
	tmp   string // its temporary directory
	stdin io.Closer
	ended chan struct{} // is closed when it has

	mu   sync.Mutex
	out  bytes.Buffer
	pids map[int]bool // all that were seen of it
}

func (r *running) Write(text []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.Write(text)
}

func (r *running) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out.String()
}

// launch starts a command whose standard input stays open.
func launch(t *testing.T, tmp, line string) *running {
	t.Helper()
	r := &running{t: t, tmp: tmp, pids: map[int]bool{}}
	r.mark = fmt.Sprintf("%s=%d.%s", endingMark, os.Getpid(), r.tmp)
	r.cmd = exec.Command("/proc/self/exe", strings.Fields(line)...)
	r.cmd.Env = append(os.Environ(), asCommand+"=1", r.mark, "TMPDIR="+r.tmp)
	r.cmd.Stdout, r.cmd.Stderr = r, r
	r.cmd.WaitDelay = lastBreath // descendants that hold its output open
	in, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.stdin = in
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		_ = r.cmd.Wait()
	}()
	return r
}

// alive are the processes with the mark, by their command lines. Those that have ended, and
// have only not been reaped, have no environment any more.
func (r *running) alive() map[int]string {
	found := map[int]string{}
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		text, err := os.ReadFile(path)
		if err != nil || !slices.Contains(strings.Split(string(text), "\x00"), r.mark) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		found[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		r.pids[pid] = true
	}
	return found
}

// has says that a process which it has started has this in its command line.
func (r *running) has(part string) bool {
	for pid, line := range r.alive() {
		if pid != r.cmd.Process.Pid && strings.Contains(line, part) {
			return true
		}
	}
	return false
}

// segments are the files in /dev/shm that have the number of one of its processes in their
// names.
func (r *running) segments() (found []string) {
	entries, _ := os.ReadDir("/dev/shm")
	for _, e := range entries {
		for _, part := range strings.Split(e.Name(), ".") {
			if pid, err := strconv.Atoi(part); err == nil && r.pids[pid] {
				found = append(found, e.Name())
				break
			}
		}
	}
	return found
}

// await waits for what must come.
func (r *running) await(what string, cond func() bool) {
	r.t.Helper()
	limit := time.After(slowest)
	for !cond() {
		select {
		case <-r.ended:
			r.t.Fatalf("it has ended before it came to this: %s. It says:\n%s", what, r.said())
		case <-limit:
			r.put(syscall.SIGKILL)
			r.t.Fatalf("it does not come to this: %s. It says:\n%s\nalive: %v", what, r.said(), r.alive())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// put sends a signal, and waits for the end.
func (r *running) put(sig syscall.Signal) {
	r.t.Helper()
	_ = r.cmd.Process.Signal(sig)
	select {
	case <-r.ended:
	case <-time.After(slowest):
		_ = r.cmd.Process.Kill()
		<-r.ended
		r.t.Errorf("after %v it had not ended in %v", sig, slowest)
	}
	r.stdin.Close()
}

// An ending is a command, and a moment in it.
type ending struct {
	line   string
	moment string
	at     func(r *running) bool
	part   string // in the report of what there is
	builds bool   // it takes a Go build to come there
}

func endings() []ending {
	worker := func(what string) func(r *running) bool {
		return func(r *running) bool { return r.has(what) }
	}
	gcc := func(r *running) bool { return r.has(slowCompiler) }
	compiling := func(r *running) bool { return r.has("/compile ") || r.has("/link ") }
	return []ending{
		{"run all -kill 200 -duration 1s -no-progress", "in the second scenario",
			func(r *running) bool {
				return strings.Contains(r.said(), "PASS lost-update") && r.has(supervise.WorkerCommand)
			}, "PART ", false},
		{"run segment -kill 200 -duration 1m", "segments are there",
			func(r *running) bool { return r.has(supervise.WorkerCommand) && len(r.segments()) > 0 }, "PART segment", false},
		{"run interop", "gcc is at work", gcc, "", false},
		{"run mutex -points", "the compiler is at work", func(r *running) bool {
			return compiling(r) || mark.Enabled && r.has(supervise.WorkerCommand) // it has its points already
		}, "", true},
		{"demo init-race", "its processes are at work", worker(demo.WorkerCommand), "init-race:", false},
		{"demo lost-update -step -engine op", "its processes are there", worker(lab.WorkerCommand), "", false},
		{"demo lost-update -step -engine op -schedule AB -quiz", "it has asked",
			func(r *running) bool { return strings.Contains(r.said(), "Your answer") }, "", false},
		{"demo bank -quiz", "it has asked",
			func(r *running) bool { return strings.Contains(r.said(), "Your answer") }, "", false},
		{"demo -web -engine op", "a page is open", pageIsOpen, "Open http://", false},
		{"bench lock -duration 20s", "its workers are there", worker("_bench"), "LINE ", false},
		{"bench lock", "gcc is at work", gcc, "LINE ", false},
		{"bench handoff", "the compiler is at work", compiling, "LINE ", true},
		{"everywhere", "its victims are there", worker(tracer.ActorCommand), "addresses", false},
		{"selftest no-wake", "the compiler is at work", compiling, "interrupted", true},
		{"selftest no-wake", "the sound library is tried", worker(supervise.WorkerCommand), "interrupted", true},
		{"schedules -scenario mutex -for 1m", "the compiler is at work", compiling, "interrupted", true},
		{"schedules -scenario mutex -for 1m", "it is searched", worker("/schedules -"), "interrupted", true},
	}
}

// pageIsOpen opens the page that demo -web serves: with that its processes start.
func pageIsOpen(r *running) bool {
	m := regexp.MustCompile(`Open (http://\S+)`).FindStringSubmatch(r.said())
	if m == nil {
		return false
	}
	if r.has(lab.WorkerCommand) {
		return true
	}
	answer, err := http.Get(m[1] + "events")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { answer.Body.Close() })
	_, err = bufio.NewReader(answer.Body).ReadString('\n')
	return err == nil && r.has(lab.WorkerCommand)
}

// slowCompiler is what the gcc of these tests does, after it has made a temporary file: the
// real one is over too soon to be met in the middle.
const slowCompiler = "sleep 5"

// slowGCC puts that one where gcc is looked for.
func slowGCC(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\n: > \"$TMPDIR/cc.o\"\nexec " + slowCompiler + "\n"
	if err := os.WriteFile(filepath.Join(dir, "gcc"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// eachEnding plays every ending up to its moment; those that build something only if wanted.
func eachEnding(t *testing.T, builds bool, then func(t *testing.T, e ending, r *running)) {
	t.Helper()
	for _, e := range endings() {
		if e.builds && !builds {
			continue
		}
		t.Run(e.line+", "+e.moment, func(t *testing.T) {
			if e.builds && testing.Short() {
				t.Skip("builds the command")
			}
			if strings.HasPrefix(e.line, "everywhere") {
				needTracer(t)
			}
			if strings.HasPrefix(e.moment, "gcc") {
				slowGCC(t)
			}
			r := launch(t, t.TempDir(), e.line)
			t.Cleanup(func() {
				for pid := range r.alive() { // only where the test has failed
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			})
			r.await(e.moment, func() bool { return e.at(r) })
			then(t, e, r)
		})
	}
}

// leftIn is what there is in a directory.
func leftIn(dir string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, "*"))
	return found
}

func TestInterruptedAnywhere(t *testing.T) {
	for i, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		eachEnding(t, i == 0, func(t *testing.T, e ending, r *running) {
			r.put(sig)
			if code := r.cmd.ProcessState.ExitCode(); code != int(report.Interrupted) {
				t.Errorf("exit code %d:\n%s", code, r.said())
			}
			if left := r.alive(); len(left) > 0 {
				t.Errorf("processes left behind: %v", left)
			}
			if left := append(r.segments(), leftIn(r.tmp)...); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if !strings.Contains(r.said(), e.part) {
				t.Errorf("nothing is said of what there was, %q:\n%s", e.part, r.said())
			}
		})
	}
}

func TestKilledAnywhereThenClean(t *testing.T) {
	eachEnding(t, true, func(t *testing.T, e ending, r *running) {
		r.put(syscall.SIGKILL)
		limit := time.Now().Add(lastBreath)
		for left := r.alive(); len(left) > 0; left = r.alive() {
			if time.Now().After(limit) {
				t.Fatalf("%v after its parent's death: %v", lastBreath, left)
			}
			time.Sleep(5 * time.Millisecond)
		}
		clean := launch(t, r.tmp, "clean")
		<-clean.ended
		clean.stdin.Close()
		if state := clean.cmd.ProcessState; !state.Success() {
			t.Errorf("clean: %v: %s", state, clean.said())
		}
		if left := append(r.segments(), leftIn(r.tmp)...); len(left) > 0 {
			t.Errorf("left behind by the command and by clean: %v\n%s", left, clean.said())
		}
	})
}
