package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"interlock/stress/internal/leftover"
	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
	"interlock/stress/internal/supervise"
)

// The test binary is the stress command too: its workers are started from
// /proc/self/exe, and with this variable it behaves like the command, for
// tests that kill it.
const asCommand = "INTERLOCK_STRESS_AS_COMMAND"

func TestMain(m *testing.M) {
	worker := len(os.Args) > 1 && workerCommands[os.Args[1]] != nil
	if worker || os.Getenv(asCommand) != "" {
		main()
	}
	code := m.Run()
	if left := children(os.Getpid()); len(left) > 0 {
		fmt.Println("processes left behind:", left)
		code = 1
	}
	if left, err := leftover.Segments(os.Getpid(), leftover.StartTime(os.Getpid())); err != nil || len(left) > 0 {
		fmt.Println("left behind:", left, err)
		code = 1
	}
	os.Exit(code)
}

// children are the processes whose parent is pid.
func children(pid int) []int {
	var found []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) && fields[0] != "Z" {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			found = append(found, child)
		}
	}
	return found
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Every scenario, briefly, with kills; the verdicts on paper and in JSON.
func TestEveryScenario(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // for the folders of those that fail
	file := filepath.Join(t.TempDir(), "result.json")
	var out, errs bytes.Buffer
	before := openFiles(t)
	code := dispatch([]string{"run", "all", "-duration", "400ms", "-seed", "0x5eed", "-json", file}, &out, &errs)
	t.Logf("\n%s%s", &out, &errs)
	if code != report.Pass && code != report.Late { // beside other tests nothing can be promised about time
		t.Errorf("exit code %d", code)
	}
	if after := openFiles(t); after > before+1 { // the first run opens the runtime's epoll descriptor
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	for _, p := range scenario.All() {
		if !strings.Contains(out.String(), "PASS "+p.Name) && !strings.Contains(out.String(), "FAIL "+p.Name) {
			t.Errorf("no verdict on %s", p.Name)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc report.Document
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.SchemaVersion != report.SchemaVersion || doc.Seed != "0x5eed" || doc.Host.CPUs == 0 || len(doc.Results) != len(scenario.All()) {
		t.Errorf("document: %+v", doc)
	}
	kills := 0
	for _, r := range doc.Results {
		if r.Ops == 0 || r.Code != report.Pass && r.Code != report.Late {
			t.Errorf("%s: %d operations, code %d", r.Name, r.Ops, r.Code)
		}
		if r.Name == "mutex" && r.Recovered < r.HeldKills {
			t.Errorf("mutex: %d kills, %d inside, %d recovered", r.Kills, r.HeldKills, r.Recovered)
		}
		kills += r.Kills
	}
	if kills == 0 {
		t.Error("nobody was killed, in any of them")
	}
}

// With -json - the document has standard output for itself.
func TestJSONOnStandardOutput(t *testing.T) {
	var out, errs bytes.Buffer
	if code := dispatch([]string{"run", "lost-update", "-duration", "100ms", "-json", "-"}, &out, &errs); code != report.Pass {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	var doc report.Document
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
		t.Errorf("%v in %s", err, &out)
	}
	if !strings.Contains(errs.String(), "PASS lost-update") {
		t.Errorf("no verdict on stderr: %s", &errs)
	}
}

// start runs the command as a process of its own, and waits until it has
// workers.
func start(t *testing.T, args ...string) (cmd *exec.Cmd, out *bytes.Buffer, workers []int) {
	t.Helper()
	cmd = exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	out = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(time.Minute); len(workers) < 4; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			_ = cmd.Process.Kill()
			t.Fatalf("no workers: %v", workers)
		}
		workers = children(cmd.Process.Pid)
	}
	time.Sleep(150 * time.Millisecond)
	return cmd, out, children(cmd.Process.Pid)
}

func gone(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		for limit := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if err != nil || !bytes.Contains(text, []byte(supervise.WorkerCommand)) {
				break
			}
			if time.Now().After(limit) {
				t.Fatalf("worker %d outlived its supervisor", pid)
			}
		}
	}
}

// Ctrl-C: the partial report, code 130, nobody left.
func TestInterrupted(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd, out, workers := start(t, "run", "mutex", "segment", "-duration", "20s")
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != int(report.Interrupted) {
			t.Errorf("%v: exit code %d", sig, code)
		}
		if !strings.Contains(out.String(), "PART mutex") {
			t.Errorf("%v: no partial report:\n%s", sig, out)
		}
		gone(t, workers)
	}
}

// kill -9 of the supervisor: the kernel kills the workers; what has a name in
// /dev/shm stays, and clean removes it, but nothing of a run that is alive.
func TestSupervisorKilledThenClean(t *testing.T) {
	cmd, _, workers := start(t, "run", "segment", "-duration", "20s")
	pid := cmd.Process.Pid
	begun := leftover.StartTime(pid)
	clean := func() string {
		var out bytes.Buffer
		if code := dispatch([]string{"clean"}, &out, &out); code != report.Pass {
			t.Errorf("clean: code %d", code)
		}
		return out.String()
	}
	if text := clean(); strings.Contains(text, fmt.Sprintf(".%d.", pid)) {
		t.Errorf("clean took things of a run that is alive:\n%s", text)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	gone(t, workers)
	stranger := filepath.Join("/dev/shm", fmt.Sprintf("interlock-stress.%d.x", pid))
	if err := os.WriteFile(stranger, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(stranger)
	mine, _ := leftover.Segments(pid, begun)
	text := clean()
	for _, path := range mine {
		if !strings.Contains(text, path) {
			t.Errorf("clean did not say that it removed %s:\n%s", path, text)
		}
	}
	if left, _ := leftover.Segments(pid, begun); len(left) > 0 {
		t.Errorf("clean left %v", left)
	}
	if _, err := os.Stat(stranger); err != nil {
		t.Errorf("clean removed a stranger's file: %v", err)
	}
}

// A worker started by hand says so and touches nothing.
func TestWorkerByHand(t *testing.T) {
	for _, args := range [][]string{{}, {"mutex"}, {"mutex", "0", "1", "2"}, {"nosuch", "0", "1"}, {"mutex", "0", "1"}} {
		cmd := exec.Command("/proc/self/exe", append([]string{supervise.WorkerCommand}, args...)...)
		text, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() == 1 || len(text) == 0 || bytes.Contains(text, []byte("goroutine")) {
			t.Errorf("%v: %v: %s", args, err, text)
		}
	}
}

// On something that is no terminal progress is a line every five seconds, so a
// short run shows none.
func TestQuietWithoutTerminal(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "run", "lost-update", "-duration", "100ms")
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		lines++
	}
	if lines != 1 || errs.Len() != 0 {
		t.Errorf("output %q, stderr %q", out, &errs)
	}
}

// A run that fails leaves a folder, says where it is and how to have the same again; one
// that missed only what the caller demanded, too. One that passes leaves none.
func TestAFailureLeavesAFolder(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var out, errs bytes.Buffer
	if code := dispatch(strings.Fields("run lost-update -duration 100ms -latency=false"), &out, &errs); code != report.Pass {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("a run that passes leaves %v", left)
	}
	code := dispatch(strings.Fields("run mutex -duration 100ms -seed 0x77 -latency=false -threshold mutex.rate>1e15"), &out, &errs)
	if code != report.Late {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	found, _ := filepath.Glob(filepath.Join(dir, "interlock-stress-failure.*"))
	if len(found) != 1 || !strings.Contains(out.String(), found[0]) {
		t.Fatalf("%v, but it says:\n%s", found, &out)
	}
	again := "stress run mutex -procs 4 -goroutines 8 -duration 100ms -kill 80 -threshold 'mutex.rate>1e15' -seed 0x77"
	for file, want := range map[string]string{"README.txt": again, "schedule.txt": "kill", "words.txt": "mutex word", "result.json": "0x77", "arena.bin": ""} {
		if text, err := os.ReadFile(filepath.Join(found[0], file)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: no %q in it: %v", file, want, err)
		}
	}
	if !strings.Contains(out.String(), again) {
		t.Errorf("how to do it again is not said:\n%s", &out)
	}
}
