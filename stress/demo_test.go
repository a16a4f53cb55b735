package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"interlock/stress/internal/demo"
	"interlock/stress/internal/report"
)

func TestDemoUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code report.Code
		text string
	}{
		{nil, report.Pass, "lost-update"},
		{[]string{"-help"}, report.Pass, "Flags of demo"},
		{[]string{"lost-updat"}, report.Usage, `Did you mean "lost-update"?`},
		{[]string{"nosuchdemo"}, report.Usage, "stress demo lists them"},
		{[]string{"bank", "ring"}, report.Usage, "one at a time"},
		{[]string{"bank", "-nonsense"}, report.Usage, "nonsense"},
		{[]string{"private-futex"}, report.Pass, "broken, as it must be"},
		{[]string{"private-futex", "-fixed"}, report.Pass, "it holds"},
		{[]string{"-quiz", "private-futex"}, report.Pass, "Your answer:"},
		{[]string{"bank", "-step"}, report.Usage, "are for lost-update"},
		{[]string{"-web", "-step"}, report.Usage, "not both"},
		{[]string{"-web", "-addr", "0.0.0.0:0"}, report.Usage, "not a loopback address"},
		{[]string{"-web", "-all"}, report.Usage, "-web goes with"},
		{[]string{"-addr", "127.0.0.1:1"}, report.Usage, "-addr belongs to -web"},
		{[]string{"-schedule", "AB"}, report.Usage, "belong to -step"},
		{[]string{"-step", "-schedule", "ABC"}, report.Usage, "'C' in a schedule"},
		{[]string{"-step", "-engine", "steam"}, report.Usage, "cpu or op"},
		{[]string{"-step", "-all", "-fixed"}, report.Usage, "-all is for lost-update"},
		{[]string{"-step", "-quiz"}, report.Usage, "asks about a -schedule"},
		{[]string{"-step", "-engine", "op", "-schedule", "ABABAB"}, report.Pass, "LOST: 1."},
		{[]string{"lost-update", "-step", "-engine", "op", "-all"}, report.Pass, "20 orders; in 18 of them an addition is lost."},
	} {
		var out bytes.Buffer
		if code := dispatch(append([]string{"demo"}, c.args...), &out, &out); code != c.code {
			t.Errorf("%v: exit code %d, want %d\n%s", c.args, code, c.code, &out)
		}
		if !strings.Contains(out.String(), c.text) {
			t.Errorf("%v: no %q in\n%s", c.args, c.text, &out)
		}
		if len(c.args) > 1 && c.args[1] == "-fixed" && strings.Contains(out.String(), "broken") {
			t.Errorf("-fixed shows what is broken:\n%s", &out)
		}
	}
}

// The list has every demo, in the order that teaches.
func TestDemoList(t *testing.T) {
	var out bytes.Buffer
	dispatch([]string{"demo"}, &out, &out)
	rest := out.String()
	for _, d := range demo.All() {
		_, after, ok := strings.Cut(rest, "  "+d.Name+" ")
		if !ok {
			t.Errorf("no %s, or not in its place:\n%s", d.Name, &out)
			continue
		}
		rest = after
	}
}

// A process of a demo that is started by hand says so and touches nothing.
func TestDemoProcessByHand(t *testing.T) {
	for _, args := range [][]string{{}, {"lost-update"}, {"nosuch", "count", "plain", "0"}, {"lost-update", "nosuch", "plain", "0"},
		{"lost-update", "count", "nosuch", "0"}, {"lost-update", "count", "plain", "0"}} {
		cmd := exec.Command("/proc/self/exe", append([]string{demo.WorkerCommand}, args...)...)
		cmd.Env = os.Environ()
		text, err := cmd.CombinedOutput()
		if err == nil || len(text) == 0 || bytes.Contains(text, []byte("goroutine")) {
			t.Errorf("%v: %v: %s", args, err, text)
		}
	}
}
