package main

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"interlock/stress/internal/inspect"
	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
)

// What holds for docs/stress.md: every command is there with an output, every flag, exit
// code and field of the JSON; and what a command always prints is what is printed there.

func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/stress.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// outputs are what the document shows, by the call.
func outputs(t *testing.T) map[string]string {
	t.Helper()
	shown := map[string]string{}
	for _, block := range regexp.MustCompile("(?s)```\n(.*?)```").FindAllStringSubmatch(document(t), -1) {
		for _, part := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			call, text, _ := strings.Cut(part, "\n")
			shown[call] = text
		}
	}
	return shown
}

// Outputs that are always the same.
func TestTheDocumentShowsWhatIsPrinted(t *testing.T) {
	shown := outputs(t)
	calls := []string{"stress list", "stress demo", "stress bench -list", "stress schedules -list"}
	for _, topic := range topics() {
		calls = append(calls, "stress help "+topic.command)
	}
	for _, call := range calls {
		var out bytes.Buffer
		if code := dispatch(strings.Fields(call)[1:], &out, &out); code != report.Pass {
			t.Fatalf("%s: code %d: %s", call, code, &out)
		}
		if trim(shown[call]) != trim(out.String()) {
			t.Errorf("the document shows of %s\n%s\nand it prints\n%s", call, shown[call], &out)
		}
	}
	if got := "\n" + shown["stress help | head -31"]; !strings.HasPrefix("\n"+overview, got) || len(got) < 2000 {
		t.Errorf("the overview is another:\n%s", got)
	}
}

func trim(text string) string { return strings.TrimRight(text, "\n") }

// Every command is there, by itself, with an output of its own.
func TestTheDocumentHasEveryCommand(t *testing.T) {
	text, shown := document(t), outputs(t)
	for _, c := range commands() {
		found := false
		for call, output := range shown {
			found = found || strings.HasPrefix(call+" ", "stress "+c.name+" ") && output != ""
		}
		if !found {
			t.Errorf("no output of stress %s", c.name)
		}
		if c.name != "list" && !strings.Contains(text, "\n## "+c.name+"\n") {
			t.Errorf("no section on %s", c.name)
		}
	}
	for _, p := range scenario.All() {
		if !strings.Contains(shown["stress"], "PASS "+p.Name+" ") {
			t.Errorf("the run of all has no %s", p.Name)
		}
	}
}

// fields are the names that a document in JSON may have.
func fields(of reflect.Type, names map[string]bool, seen map[reflect.Type]bool) {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		fields(of.Elem(), names, seen)
	case reflect.Struct:
		if seen[of] {
			return
		}
		seen[of] = true
		for i := range of.NumField() {
			f := of.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "" && name != "-" {
				names[name] = true
			}
			if name != "-" && f.IsExported() {
				fields(f.Type, names, seen)
			}
		}
	}
}

func TestTheDocumentHasEveryFieldOfTheJSON(t *testing.T) {
	text, names := document(t), map[string]bool{}
	fields(reflect.TypeFor[report.Document](), names, map[reflect.Type]bool{})
	for _, of := range []reflect.Type{reflect.TypeFor[inspect.Document](), reflect.TypeFor[inspect.Object]()} {
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			names[name] = name != ""
		}
	}
	if len(names) < 40 || !names["recovery_worst_ns"] || !names["kernel"] || !names["fingerprint"] {
		t.Fatalf("only %d fields: %v", len(names), names)
	}
	for name, is := range names {
		if is && !strings.Contains(text, "`"+name+"`") {
			t.Errorf("the document has no field `%s`", name)
		}
	}
}

func TestTheDocumentHasEveryExitCode(t *testing.T) {
	text := document(t)
	for _, code := range []string{"0 pass", "1 an invariant", "2 usage", "3 a hang", "4 set-up", "5 a worker", "6 a threshold", "130 interrupted"} {
		if !strings.Contains(text, code) {
			t.Errorf("no exit code %s", code)
		}
	}
}
