package selftest

import (
	"context"
	"os"
	"strings"
	"testing"

	"interlock/stress/internal/rebuild"
)

func module(t *testing.T) string {
	t.Helper()
	root, err := rebuild.FindModule(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// Every mutant fits the source as it is: a change there that makes one obsolete
// shows here at once, not when somebody runs the selftest.
func TestMutantsApply(t *testing.T) {
	root := module(t)
	seen := map[string]bool{}
	for _, m := range Mutants() {
		if seen[m.Name] || m.Bug == "" || len(m.Edits) == 0 || len(m.Run) == 0 {
			t.Errorf("%q: twice, or not complete", m.Name)
		}
		seen[m.Name] = true
		path, err := writeOverlay(m, root, t.TempDir())
		if err != nil {
			t.Error(err)
			continue
		}
		if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), root) {
			t.Errorf("%s: overlay %s %v", m.Name, text, err)
		}
	}
	for _, name := range []string{"no-lock", "test-then-set", "wake-before-store", "forgotten-waiters", "private-futex",
		"unconditional-store", "no-look", "no-owner-died", "heir-forgets-waiters"} {
		if !seen[name] {
			t.Errorf("no mutant %s", name)
		}
	}
}

// An edit that fits nowhere, or in two places, is an error that says so.
func TestEditMustFitOnce(t *testing.T) {
	read := func(string) (string, error) { return "a b a", nil }
	for old, fits := range map[string]bool{"b": true, "a": false, "c": false} {
		changed, err := Apply(Mutant{Name: "m", Edits: []Edit{{"f", old, "x"}}}, read)
		if fits != (err == nil) {
			t.Errorf("%q: %v", old, err)
		}
		if fits && changed["f"] != "a x a" {
			t.Errorf("%q: %q", old, changed["f"])
		}
		if !fits && !strings.Contains(err.Error(), "no longer applies") {
			t.Errorf("%q: %v", old, err)
		}
	}
	// Two edits of one file build on each other.
	changed, err := Apply(Mutant{Edits: []Edit{{"f", "b", "c"}, {"f", "a c", "d"}}}, read)
	if err != nil || changed["f"] != "d a" {
		t.Errorf("%q %v", changed["f"], err)
	}
}

func TestSelect(t *testing.T) {
	if all, err := Select(nil); err != nil || len(all) != len(Mutants()) {
		t.Errorf("%d %v", len(all), err)
	}
	if some, err := Select([]string{"no-look", "no-lock"}); err != nil || len(some) != 2 || some[0].Name != "no-look" {
		t.Errorf("%v %v", some, err)
	}
	if _, err := Select([]string{"nosuch"}); err == nil {
		t.Error("no error")
	}
}
