package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"interlock/stress/internal/report"
)

// toItsEnd runs the command as a process of its own to its end.
func toItsEnd(t *testing.T, env []string, args string) (out string, code int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", strings.Fields(args)...)
	cmd.Env = append(append(os.Environ(), asCommand+"=1", "TMPDIR="+t.TempDir()), env...)
	text, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(text), cmd.ProcessState.ExitCode()
}

// With -points the program builds itself anew with the library's marks, becomes that, and
// kills somebody at each mark that the scenario comes by, and in each of its traps.
func TestPoints(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("it builds itself anew, and there is no go command here")
	}
	file := filepath.Join(t.TempDir(), "result.json")
	out, code := toItsEnd(t, nil, "run mutex -points -chaos light -duration 300ms -latency=false -json "+file)
	if code != int(report.Pass) {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var doc report.Document
	if err := json.Unmarshal(text, &doc); err != nil || len(doc.Results) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	points := map[string]report.Point{}
	for _, p := range doc.Results[0].Points {
		points[p.Name] = p
		if p.Kills == 0 || p.Passed == 0 {
			t.Errorf("%+v", p)
		}
	}
	for _, name := range []string{"E-M7 about to repair", "E-M3 taken not recorded", "half written", "repairing"} {
		if _, ok := points[name]; !ok || !strings.Contains(out, name) {
			t.Errorf("no point %q:\n%s", name, out)
		}
	}
	if _, ok := points["E-Q1 odd"]; ok {
		t.Error("a mutex does not come by E-Q1")
	}
	if doc.Results[0].Delays == 0 {
		t.Error("no delays")
	}
}

// Where it cannot be built, that is said, and nothing is run.
func TestPointsNeedTheSource(t *testing.T) {
	for _, flag := range []string{"-points", "-chaos heavy"} {
		out, code := toItsEnd(t, []string{"PATH=/nonexistent"}, "run mutex "+flag)
		if code != int(report.Setup) || !strings.Contains(out, "no go command") || strings.Contains(out, "PASS") {
			t.Errorf("%s: exit code %d:\n%s", flag, code, out)
		}
	}
}

// A run of everything has to hit every point; one of a few scenarios only tells.
func TestMissedPoints(t *testing.T) {
	results := []*report.Result{{Name: "x", Points: []report.Point{{Name: "B", Passed: 5, Kills: 1}}}}
	for _, c := range []struct {
		o     options
		marks []string
		code  report.Code
		says  string
	}{
		{options{points: true, all: true}, []string{"A", "B"}, report.Late, `nobody was killed at "A"`},
		{options{points: true, all: true}, []string{"B"}, report.Pass, "1 points"},
		{options{points: true}, []string{"A", "B"}, report.Pass, "1 points"},
		{options{}, []string{"A", "B"}, report.Pass, ""},
	} {
		var out bytes.Buffer
		if code := c.o.judgeCoverage(c.marks, results, &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%+v %v: code %d, %s", c.o, c.marks, code, &out)
		}
	}
}
