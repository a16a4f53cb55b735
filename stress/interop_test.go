package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Without a C compiler the scenario is skipped with its reason: neither passed nor
// failed, and if it was all that was asked for, nothing was shown.
func TestInteropWithoutACompilerIsSkipped(t *testing.T) {
	for _, x := range []struct {
		args string
		code int
		want []string
	}{
		{"run interop", 4, []string{"SKIP interop "}},
		{"run lost-update interop -duration 300ms", 0, []string{"PASS lost-update", "SKIP interop "}},
	} {
		cmd := exec.Command("/proc/self/exe", strings.Fields(x.args)...)
		cmd.Env = append(os.Environ(), asCommand+"=1", "PATH=/nonexistent")
		out, _ := cmd.Output() // its code is looked at
		if code := cmd.ProcessState.ExitCode(); code != x.code {
			t.Errorf("%s: exit code %d, want %d", x.args, code, x.code)
		}
		for _, want := range x.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: no %q in\n%s", x.args, want, out)
			}
		}
		if strings.Contains(string(out), "PASS interop") || !strings.Contains(string(out), "no C compiler") {
			t.Errorf("%s says\n%s", x.args, out)
		}
	}
}

func TestInteropPasses(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("/proc/self/exe", strings.Fields("run interop -duration 700ms -kill 40")...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "PASS interop") {
		t.Errorf("%v\n%s", err, out)
	}
}
