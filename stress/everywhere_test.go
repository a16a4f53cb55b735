package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"interlock/internal/race"
	"interlock/stress/internal/ptrace"
	"interlock/stress/internal/report"
	"interlock/stress/internal/tracer"
)

func needTracer(t *testing.T) {
	t.Helper()
	if race.Enabled {
		t.Skip("the detector's instructions are not the library's")
	}
	if err := tracer.Probe(); errors.Is(err, ptrace.ErrUnsupported) || errors.Is(err, ptrace.ErrRefused) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

func TestEverywhere(t *testing.T) {
	needTracer(t)
	var out, errs bytes.Buffer
	if code := dispatch([]string{"everywhere", "Lock: alone", "Unlock: *", "-every", "20"}, &out, &errs); code != report.Pass {
		t.Errorf("code %d: %s", code, &errs)
	}
	for _, want := range []string{"Lock: alone ", "Unlock: alone ", "Unlock: a sleeper, a barger ", ": 0 failures"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

// A bug that one death shows is found.
func TestEverywhereFindsABug(t *testing.T) {
	needTracer(t)
	if testing.Short() {
		t.Skip("builds the command")
	}
	var out, errs bytes.Buffer
	code := dispatch([]string{"everywhere", "-mutant", "seqlock-heir-counts-on", "Seqlock.Store: alone", "-every", "5", "-failures", "1"}, &out, &errs)
	if code != report.Broke || !strings.Contains(out.String(), "killed before seqlock.(*Seqlock[...]).write") {
		t.Errorf("code %d\n%s%s", code, &out, &errs)
	}
}

func TestListOfEverywhere(t *testing.T) {
	var out bytes.Buffer
	if code := dispatch([]string{"everywhere", "-list", "Un*"}, &out, &out); code != report.Pass {
		t.Errorf("code %d", code)
	}
	if got := strings.Split(strings.TrimSpace(out.String()), "\n"); !slices.Contains(got, "Unlock: a sleeper") || len(got) != 4 {
		t.Errorf("%q", got)
	}
}

// What the mutant's program gets is what was asked for, but for the mutant.
func TestArgumentsOfTheMutant(t *testing.T) {
	for line, want := range map[string]string{
		"-mutant no-look Lock -every 5": "Lock -every 5",
		"Lock --mutant=no-look":         "Lock",
		"-every 5 -mutant=no-look":      "-every 5",
	} {
		if got := strings.Join(withoutMutant(strings.Fields(line)), " "); got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
}
