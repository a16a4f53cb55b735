// What holds for the example programs: each does what its comment says, with
// real processes.
package examples

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"interlock/shm"
)

// build compiles an example and returns how to run it.
func build(t *testing.T, name string) func(args ...string) *exec.Cmd {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("no compiler: %v", err)
	}
	program := filepath.Join(t.TempDir(), filepath.Base(name))
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

func TestHello(t *testing.T) {
	without(t, "hello")
	run := build(t, "hello")
	for _, count := range []string{"1", "2"} {
		if got := strings.Fields(output(t, run())); len(got) != 4 || got[3] != count {
			t.Errorf("it says %q, want a count of %s", got, count)
		}
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

func TestRingRefusesWhatDoesNotFit(t *testing.T) {
	without(t, "ring")
	run := build(t, "ring")
	write := run("write")
	write.Stdin = strings.NewReader(strings.Repeat("x", 252) + "\n" + strings.Repeat("y", 253) + "\n")
	if out, err := write.CombinedOutput(); err == nil || !strings.Contains(string(out), "a line of 253 bytes") {
		t.Errorf("it says %q, %v", out, err)
	}
	write = run("write") // which ends the stream
	output(t, write)
	if got, err := run("read").Output(); err != nil || string(got) != strings.Repeat("x", 252)+"\n" {
		t.Errorf("read: %q, %v", got, err)
	}
}

func TestProdcons(t *testing.T) {
	out := output(t, build(t, "prodcons")())
	said := map[string]int{} // "made 4": in which line
	pids := map[string]string{}
	for i, line := range strings.Split(strings.TrimSpace(out), "\n") {
		w := strings.Fields(line)
		if len(w) != 4 || pids[w[2]] != "" && pids[w[2]] != w[1] {
			t.Fatalf("it says %q", out)
		}
		pids[w[2]] = w[1]
		said[w[2]+" "+w[3]] = i
	}
	for i := range 10 {
		thing := strconv.Itoa(i * i)
		if took, ok := said["took "+thing]; !ok || took < said["made "+thing] {
			t.Errorf("%s was not made and then taken: %q", thing, out)
		}
	}
	if len(said) != 20 || len(pids) != 2 || pids["made"] == pids["took"] {
		t.Errorf("it says %q", out)
	}
}

func TestReattach(t *testing.T) {
	lines := strings.Split(output(t, build(t, "reattach")()), "\n")
	if len(lines) != 4 || !strings.HasSuffix(lines[0], ", 25600 bytes") || strings.Contains(lines[0], " 0x5000000") ||
		lines[1] != "attached at 0x5000000" || lines[2] != "Hello, world." {
		t.Errorf("it says %q", lines)
	}
}

func TestConfig(t *testing.T) {
	run := build(t, "config")
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte("size = 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		got, want string
	}{
		{output(t, run()), `"colour = blue\n"`},
		{output(t, run(file)), `"size = 3\n"`},
	} {
		if !strings.Contains(x.got, x.want) || !strings.HasSuffix(x.got, "changing them: write config: operation not permitted\n") {
			t.Errorf("it says %q, want %s", x.got, x.want)
		}
	}
}

func TestVersioned(t *testing.T) {
	run := build(t, "versioned")
	file := filepath.Join(t.TempDir(), "setting")
	output(t, run(file, "one"))
	st, err := os.Stat(file)
	if err != nil || st.Size() != 4096 {
		t.Fatalf("the file: %v %v", st, err)
	}
	where := st.Sys().(*syscall.Stat_t)
	t.Cleanup(func() { _ = shm.Remove(fmt.Sprintf("/versioned-%d-%d", where.Dev, where.Ino)) })
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
	defer time.AfterFunc(time.Minute, func() { _ = watch.Process.Kill() }).Stop()
	seen := bufio.NewScanner(pipe)
	saw := func(want string) {
		t.Helper()
		if !seen.Scan() || seen.Text() != want {
			t.Fatalf("a watcher saw %q, want %q", seen.Text(), want)
		}
	}
	saw("version 2: two")
	output(t, run(file, "three"))
	saw("version 3: three")

	// A copy that is not whole does not count: the one before does.
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, 4096)
	if _, err := f.ReadAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("T"), int64(bytes.Index(data, []byte("three")))); err != nil {
		t.Fatal(err)
	}
	if got := output(t, run(file)); got != "version 2: two\n" {
		t.Errorf("with a damaged copy it says %q", got)
	}
	output(t, run(file, "another"))
	if got := output(t, run(file)); got != "version 3: another\n" {
		t.Errorf("after that it says %q", got)
	}
}
