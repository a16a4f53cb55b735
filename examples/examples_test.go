// What holds for the example programs: each does what its comment says, with
// real processes.
package examples

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"interlock/shm"
)

// build compiles an example and returns how to run it.
func build(t *testing.T, name string) func(args ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("no compiler: %v", err)
	}
	program := filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", program, "./"+name).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return func(args ...string) *exec.Cmd { return exec.Command(program, args...) }
}

// without makes sure that the example's object is not there, before and after:
// it may be somebody's who tries the example just now.
func without(t *testing.T, name string) {
	t.Helper()
	if s, err := shm.Open(name); err == nil {
		s.Close()
		t.Skipf("somebody uses /dev/shm/%s", name)
	}
	t.Cleanup(func() { _ = shm.Remove(name) })
}

func output(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	return string(out)
}

func TestShmdemo(t *testing.T) {
	without(t, "shmdemo")
	run := build(t, "shmdemo")
	output(t, run("hello there"))
	if got := output(t, run()); got != "segment contains: \"hello there\"\n" {
		t.Errorf("it says %q", got)
	}
	if got := output(t, run(strings.Repeat("x", 2000))); len(got) > 1100 {
		t.Errorf("too long a text: %q", got)
	}
}

func TestRing(t *testing.T) {
	without(t, "ring")
	run := build(t, "ring")
	var in bytes.Buffer
	for i := range 20000 {
		in.WriteString(strconv.Itoa(i) + "\n")
	}
	want := in.String()
	write := run("write")
	write.Stdin = &in
	if err := write.Start(); err != nil {
		t.Fatal(err)
	}
	got, err := run("read").Output()
	if werr := write.Wait(); err != nil || werr != nil || string(got) != want {
		t.Fatalf("%d bytes came through, want %d; the reader: %v, the writer: %v", len(got), len(want), err, werr)
	}

	// A writer that is killed: the next one is told, and told what to do.
	write = run("write")
	pipe, err := write.StdinPipe() // it waits for lines, inside
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	told, err := write.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := write.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(told).ReadString('\n'); err != nil {
		t.Fatalf("it said %q, %v", line, err)
	}
	_ = write.Process.Kill()
	_ = write.Wait()
	out, err := run("write").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "rm /dev/shm/ring") {
		t.Errorf("after the death of a writer, the next one: %v\n%s", err, out)
	}
}

func TestVersioned(t *testing.T) {
	run := build(t, "versioned")
	file := filepath.Join(t.TempDir(), "setting")
	output(t, run(file, "one"))
	output(t, run(file, "two"))
	if got := output(t, run(file)); got != "version 2: two\n" {
		t.Errorf("it says %q", got)
	}
	watch := run(file, "-watch")
	pipe, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = watch.Process.Kill(); _ = watch.Wait() }()
	seen := make([]byte, 100)
	n, _ := pipe.Read(seen)
	output(t, run(file, "three"))
	m, _ := pipe.Read(seen[n:])
	if got := string(seen[:n+m]); got != "version 2: two\nversion 3: three\n" {
		t.Errorf("a watcher saw %q", got)
	}
	if st, err := os.Stat(file); err != nil || st.Size() != 4096 {
		t.Errorf("the file: %v %v", st, err)
	}
}
