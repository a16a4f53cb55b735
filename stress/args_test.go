package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
)

// Flags may stand before, between and behind the names (P-G17).
func TestFlagsAndNamesInAnyOrder(t *testing.T) {
	for _, line := range []string{
		"-duration 2s -seed 0x5eed mutex condvar",
		"mutex -duration 2s condvar -seed 0x5eed",
		"mutex condvar --duration=2s --seed=24301",
	} {
		var errs bytes.Buffer
		o, code := parseRun(strings.Fields(line), &errs)
		if o == nil {
			t.Fatalf("%q: code %d: %s", line, code, &errs)
		}
		if o.duration != 2*time.Second || o.seed != 0x5eed || names(o.plans) != "mutex condvar" {
			t.Errorf("%q: duration %v, seed %#x, scenarios %q", line, o.duration, o.seed, names(o.plans))
		}
	}
}

func names(plans []*scenario.Plan) string {
	var list []string
	for _, p := range plans {
		list = append(list, p.Name)
	}
	return strings.Join(list, " ")
}

func TestNamesSelectScenarios(t *testing.T) {
	for line, want := range map[string]string{
		"":               strings.Join(scenarioNames(), " "),
		"all":            strings.Join(scenarioNames(), " "),
		"condvar mutex":  "mutex condvar", // in their own order
		"mutex mutex":    "mutex",
		"seg* seqlock":   "seqlock segment",
		"mutex se*":      "mutex semaphore seqlock segment",
		"lost-update -h": "",
	} {
		o, code := parseRun(strings.Fields(line), &bytes.Buffer{})
		if want == "" {
			if o != nil || code != report.Pass {
				t.Errorf("%q: %v, code %v: want help", line, o, code)
			}
			continue
		}
		if o == nil || names(o.plans) != want {
			t.Errorf("%q selects %q, want %q", line, names(o.plans), want)
		}
	}
}

// Each mistake ends with code 2 and words that help.
func TestMistakesAreExplained(t *testing.T) {
	for line, want := range map[string]string{
		"run mutx":                     `Did you mean "mutex"`,
		"run nothing-like-it":          "There are: lost-update",
		"run -duraton 2s":              "stress help",
		"run -duration 2":              "stress help",
		"run -duration -2s":            "negative",
		"run -procs -1":                "between 1 and",
		"run -procs 100000":            "between 1 and",
		"run -goroutines x":            "stress help",
		"run -goroutines -1":           "at least 1",
		"run mutex -goroutines 5000":   "at most 4096",
		"run herd -goroutines 100001":  "at most 100000",
		"run timeouts -procs 3":        "at least 4 processes",
		"run -kill -3":                 "between 0 and",
		"run -kill NaN":                "between 0 and",
		"run -points -kill 0":          "needs kills",
		"run -chaos much":              "light or heavy",
		"run -stop -1":                 "between 0 and",
		"run -seed seed":               "0x5eed",
		"run -history -1":              "between 0 and",
		"run -hang 1ms":                "hiccup",
		"run lost-update -procs 1":     "at least 2 processes",
		"rum":                          `Did you mean "run"`,
		"mutex":                        `Did you mean "run mutex"`,
		"frobnicate":                   "Commands:",
		"help mutex":                   "no command",
		"help run list":                "one command at a time",
		"list mutex":                   "no arguments",
		"clean everything":             "no arguments",
		"selftest no-such-mutant":      "test-then-set",
		"selftest -fast":               "stress help",
		"selftest -patch /nonexistent": "no such file",
		"selftest -patch /dev/null":    "no unified diff",
		"selftest -patch x mutx":       `Did you mean "mutex"`,
		"everywhere Lok":               "stress everywhere -list",
		"everywhere -every 0":          "at least 1",
		"everywhere -j 0":              "between 1 and",
		"everywhere -failures 0":       "at least 1",
		"everywhere -mutant nosuch":    "no mutant",
		"everywhere -fast":             "stress help",
		"-duration":                    "stress help",
		"run [ ":                       "no scenario",
		"run condvar -procs 1 -seed ":  "stress help",
	} {
		var out, errs bytes.Buffer
		code := dispatch(strings.Fields(line), &out, &errs)
		if code != report.Usage || !strings.Contains(errs.String(), want) {
			t.Errorf("stress %s: code %d, want 2; it says %q, want %q in it", line, code, errs.String(), want)
		}
	}
}

func TestHelpNamesEverything(t *testing.T) {
	var out bytes.Buffer
	if code := dispatch([]string{"--help"}, &out, &out); code != report.Pass {
		t.Fatalf("code %d", code)
	}
	for _, want := range []string{"-duration", "-procs", "-goroutines", "-kill", "-stop", "-points", "-chaos", "-seed", "-hang", "-json",
		"selftest", "everywhere", "-every", "-mutant", "clean", "list", "130", "0x5eed"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help does not mention %s", want)
		}
	}
	out.Reset()
	if code := dispatch([]string{"list"}, &out, &out); code != report.Pass {
		t.Fatalf("list: code %d", code)
	}
	if lines := strings.Split(strings.TrimSpace(out.String()), "\n"); len(lines) != len(scenario.All()) {
		t.Errorf("list: %d lines for %d scenarios", len(lines), len(scenario.All()))
	}
}

// "All" runs what it can with too few processes; a scenario that was asked for
// by name does not silently run with others.
func TestShapes(t *testing.T) {
	o, _ := parseRun([]string{"-procs", "1", "-goroutines", "2"}, &bytes.Buffer{})
	for _, p := range o.plans {
		s, err := o.shape(p)
		if err != nil || s.Procs < p.Least.Procs || s.Lanes < p.Least.Lanes {
			t.Errorf("%s: %v %v", p.Name, s, err)
		}
		if p.Fixed && s != p.Shape {
			t.Errorf("%s: shape %v, it is fixed to %v", p.Name, s, p.Shape)
		}
	}
	o, _ = parseRun([]string{"mutex", "-procs", "7", "-goroutines", "3"}, &bytes.Buffer{})
	if s, err := o.shape(o.plans[0]); err != nil || s != (scenario.Shape{Procs: 7, Lanes: 3}) {
		t.Errorf("mutex: %v %v", s, err)
	}
	o, _ = parseRun([]string{"mutex", "herd", "-goroutines", "100000"}, &bytes.Buffer{})
	for i, most := range []int{4096, 100000} {
		if s, err := o.shape(o.plans[i]); err != nil || s.Lanes != most {
			t.Errorf("%s: %v %v, want %d goroutines", o.plans[i].Name, s, err, most)
		}
	}
}

// The line that replays a run means the same run.
func TestReplayMeansTheSame(t *testing.T) {
	for _, line := range []string{
		"mutex", "herd -kill 3 -seed 7 -procs 5", "handoff -hang 300ms", "condvar -stop 12.5 -kill 0 -duration 90s -goroutines 3 -history 9", "mutex -points -chaos heavy",
	} {
		o, _ := parseRun(strings.Fields(line), &bytes.Buffer{})
		p := o.plans[0]
		shape, _ := o.shape(p)
		if o.duration == 0 {
			o.duration = p.Duration
		}
		text := o.replay(p)
		again, _ := parseRun(strings.Fields(text), &bytes.Buffer{})
		if again == nil || len(again.plans) != 1 || again.plans[0].Name != p.Name {
			t.Errorf("%q: %q is another", line, text)
			continue
		}
		o.plans, o.procs, o.goroutines, o.seeded = nil, again.procs, again.goroutines, true
		same, err := again.shape(p)
		if again.plans = nil; err != nil || same != shape || !reflect.DeepEqual(o, again) {
			t.Errorf("%q: %+v %v, then %+v %v", line, o, shape, again, same)
		}
	}
}
