package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"interlock/internal/layout"
	"interlock/mutex"
	"interlock/shm"
	"interlock/stress/internal/inspect"
	"interlock/stress/internal/report"
)

// inspected is what the tests of the command look at.
type inspected struct {
	Mu    mutex.Mutex
	Users [2000]struct{ Mu mutex.Mutex }
	Name  [8]uint8
	Left  int32
}

func newInspected(t *testing.T) (name string, s *inspected) {
	t.Helper()
	name = fmt.Sprintf("interlock-inspect.%d.%s", os.Getpid(), strings.ReplaceAll(t.Name(), "/", "."))
	s, seg, err := shm.Share[inspected](context.Background(), name, func(s *inspected) error {
		copy(s.Name[:], "abc")
		s.Left = -3
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = seg.Close()
		_ = shm.Remove(name)
	})
	return name, s
}

func run(args ...string) (report.Code, string, string) {
	var out, errs bytes.Buffer
	code := dispatch(append([]string{"inspect"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

func TestInspectUsage(t *testing.T) {
	name, _ := newInspected(t)
	for _, c := range []struct {
		args []string
		code report.Code
		text string
	}{
		{[]string{"-help"}, report.Pass, "Flags of inspect"},
		{[]string{"-nonsense"}, report.Usage, "nonsense"},
		{[]string{"-type", "mutx@0", name}, report.Usage, `no primitive "mutx"`},
		{[]string{"-type", "mutex@0"}, report.Usage, "name one"},
		{[]string{"-type", "mutex@0", name, name}, report.Usage, "name one"},
		{[]string{"-pid", "1", name}, report.Usage, "either -pid or names"},
		{[]string{"-pid", "-1"}, report.Usage, "no process"},
		{[]string{"-every", "1ms", name}, report.Usage, "-every 1ms"},
		{[]string{"-long", "-1s", name}, report.Usage, "-long -1s"},
		{[]string{name + "x"}, report.Setup, "does not exist"},
		{[]string{"-pid", "2147483647"}, report.Setup, "process 2147483647"},
		{[]string{"-pid", fmt.Sprint(os.Getpid()), "-type", "mutex@8"}, report.Setup, "nothing mapped at 0x8"},
		{[]string{name}, report.Pass, "OK: 2001 primitives"},
		{[]string{"-type", "mutex@2048", name}, report.Pass, "OK: 1 primitive,"},
		{[]string{name, "-values"}, report.Pass, `Name = "abc"`},
		{[]string{"-values", name}, report.Pass, "Left = -3"},
		{[]string{"-all", name}, report.Pass, "Users[1999].Mu mutex @"},
		{[]string{}, report.Pass, name},
	} {
		code, out, errs := run(c.args...)
		if code != c.code && !(len(c.args) == 0 && code == report.Broke) { // without a name: whatever is on this machine
			t.Errorf("%v: exit code %d, want %d\n%s%s", c.args, code, c.code, out, errs)
		}
		if !strings.Contains(out+errs, c.text) {
			t.Errorf("%v: no %q in\n%s%s", c.args, c.text, out, errs)
		}
	}
}

// A mutex of ours is held by this process: the document names it. What nobody has to
// know of two thousand others stays out unless -all asks for it.
func TestInspectJSON(t *testing.T) {
	name, s := newInspected(t)
	s.Users[7].Mu.Lock()
	defer s.Users[7].Mu.Unlock()
	for _, all := range []bool{false, true} {
		args := []string{"-json", name}
		if all {
			args = append(args, "-all")
		}
		code, out, errs := run(args...)
		var doc struct {
			inspect.Document
			Objects []inspect.Object `json:"objects"`
		}
		if err := json.Unmarshal([]byte(out), &doc); err != nil || code != report.Pass {
			t.Fatalf("code %d, %v: %s%s", code, err, out, errs)
		}
		o := doc.Objects[0]
		want := map[bool]int{false: 1, true: 2001}[all]
		if doc.SchemaVersion != inspect.SchemaVersion || doc.Code != report.Pass || o.Name != name || len(o.Items) != want || o.Maker != os.Getpid() {
			t.Errorf("%+v, %d items, want %d", doc.Document, len(o.Items), want)
		}
		if o.Groups[1].Count != 2000 || o.Groups[1].States["held"] != 1 {
			t.Errorf("%+v", o.Groups[1])
		}
		for _, it := range o.Items {
			if it.State == "held" && (it.Holder.PID != os.Getpid() || it.Path != "Users[7].Mu") {
				t.Errorf("%+v", it)
			}
		}
	}
}

// -watch prints a look when anything has changed, and Ctrl-C is how it ends.
func TestInspectWatch(t *testing.T) {
	name, s := newInspected(t)
	cmd := exec.Command("/proc/self/exe", "inspect", "-watch", "-every", "50ms", name)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	lines := bufio.NewScanner(pipe)
	await := func(part string) (looks int) {
		for lines.Scan() {
			if strings.Contains(lines.Text(), "Ctrl-C ends") {
				looks++
			}
			if strings.Contains(lines.Text(), part) {
				return looks
			}
		}
		t.Fatalf("it ended before it said %q", part)
		return 0
	}
	await("OK: 2001 primitives, 0 held")
	s.Mu.Lock()
	if n := await("OK: 2001 primitives, 1 held"); n != 1 {
		t.Errorf("%d looks were printed until one had the change", n)
	}
	s.Mu.Unlock()
	await("OK: 2001 primitives, 0 held")
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != int(report.Interrupted) {
		t.Errorf("exit code %d", code)
	}
}

// A segment that its maker did not finish, one of another version, one of another boot.
func TestInspectHeadersThatKeepEverybodyOut(t *testing.T) {
	name, _ := newInspected(t)
	whole, err := os.ReadFile(filepath.Join("/dev/shm", name))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at   int
		to   byte
		text string
	}{
		{8, layout.Version + 1, "header of another version"},
		{12, layout.StateMaking, "it is being made by"},
		{48, whole[48] + 1, "made before the machine was restarted"},
	} {
		path := filepath.Join(t.TempDir(), "image")
		b := bytes.Clone(whole)
		b[c.at] = c.to
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		want := report.Broke
		if c.at == 12 { // by us, and we live
			want = report.Pass
		}
		if code, out, errs := run(path); code != want || !strings.Contains(out, c.text) {
			t.Errorf("byte %d: code %d, no %q in\n%s%s", c.at, code, c.text, out, errs)
		}
	}
}
