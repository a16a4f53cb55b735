package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"interlock/stress/internal/report"
)

// The table in its forms, and where each goes.
func TestBenchForms(t *testing.T) {
	file := filepath.Join(t.TempDir(), "result")
	for _, c := range []struct {
		args []string
		out  string // in standard output
		errs string // in standard error
	}{
		{[]string{"lock"}, "sync.Mutex", ""},
		{[]string{"lock", "-format", "markdown"}, "| lock |", "LINE"},
		{[]string{"lock", "-format", "go"}, "BenchmarkLock/Lock+Unlock/against=sync.Mutex_in_one_process 1 ", "LINE"},
		{[]string{"-o", file, "lock", "-format", "json"}, "LINE", ""},
	} {
		var out, errs bytes.Buffer
		code := dispatch(append([]string{"bench", "-short"}, c.args...), &out, &errs)
		if code != report.Pass && code != report.Late {
			t.Errorf("%v: exit code %d\n%s%s", c.args, code, &out, &errs)
		}
		if !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) || c.errs == "" && errs.Len() > 0 {
			t.Errorf("%v:\n%s\nstandard error:\n%s", c.args, &out, &errs)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil || !json.Valid(text) || !strings.Contains(string(text), `"schema_version": 1`) {
		t.Errorf("the file: %v\n%s", err, text)
	}
}

func TestBenchUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code report.Code
		text string
	}{
		{[]string{"-list"}, report.Pass, "contended"},
		{[]string{"-help"}, report.Pass, "Flags of bench"},
		{[]string{"lokc"}, report.Usage, `Did you mean "lock"?`},
		{[]string{"-nonsense"}, report.Usage, "nonsense"},
		{[]string{"-format", "xml"}, report.Usage, "-format xml"},
		{[]string{"-rounds", "0"}, report.Usage, "-rounds 0"},
		{[]string{"-duration", "1ms"}, report.Usage, "-duration 1ms"},
		{[]string{"-kills", "0"}, report.Usage, "-kills 0"},
		{[]string{"lock", "-o", "/nowhere/at/all"}, report.Setup, "/nowhere/at/all"},
	} {
		var out, errs bytes.Buffer
		if code := dispatch(append([]string{"bench"}, c.args...), &out, &errs); code != c.code {
			t.Errorf("%v: exit code %d, want %d", c.args, code, c.code)
		}
		if all := out.String() + errs.String(); !strings.Contains(all, c.text) {
			t.Errorf("%v: no %q in\n%s", c.args, c.text, all)
		}
	}
}
