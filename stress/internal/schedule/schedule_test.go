package schedule

import (
	"bytes"
	"context"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"interlock/stress/internal/rebuild"
	"interlock/stress/internal/schedule/explore"
	"interlock/stress/internal/selftest"
)

func workplaceFor(t *testing.T) *workplace {
	t.Helper()
	if testing.Short() {
		t.Skip("builds programs from the library's source")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command here")
	}
	runtime.LockOSThread() // see rebuild.Command
	t.Cleanup(runtime.UnlockOSThread)
	w, err := newWorkplace(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func (w *workplace) mustHunt(t *testing.T, m selftest.Mutant, limit time.Duration) *explore.Report {
	t.Helper()
	r, err := w.hunt(t.Context(), m, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%q: %d schedules in %.2fs of CPU time; %s %s", m.Name, r.Schedules, r.Seconds, r.Failure, r.Schedule)
	return r
}

// The source as it is, in some thousands of schedules (T58).
func TestTheSourceUnderTheScheduler(t *testing.T) {
	w := workplaceFor(t)
	r := w.mustHunt(t, selftest.Mutant{}, 4*time.Second)
	if r.Failure != "" {
		t.Errorf("scenario %s, schedule %s: %s", r.Scenario, r.Schedule, r.Failure)
	}
	if r.Schedules < 1000 {
		t.Errorf("only %d schedules were tried", r.Schedules)
	}
}

// Bugs that this library, or others, had: each is found again, and the schedule that
// shows it shows it again, and nothing in the source as it is (T58).
func TestHistoricBugsAreFound(t *testing.T) {
	w := workplaceFor(t)
	sound, err := w.build(t.Context(), selftest.Mutant{}, 3)
	if err != nil {
		t.Fatal(err)
	}
	for name, scenario := range map[string]string{
		"heir-forgets-waiters":      "heirs",
		"no-look":                   "death",
		"broadcasts-before-signals": "broadcast-inside",
		"enters-unasked":            "late-unrecorded",
	} {
		m, err := find(name)
		if err != nil {
			t.Fatal(err)
		}
		binary, err := w.build(t.Context(), m, 3)
		if err != nil {
			t.Fatal(err)
		}
		text, err := rebuild.Command(t.Context(), w.Dir, binary, "-scenario", scenario, "-random", "-for", "30s").Output()
		_, again, found := strings.Cut(string(text), "-schedule ")
		if err == nil || !found {
			t.Errorf("%s was not found: %s", name, text)
			continue
		}
		args := []string{"-scenario", scenario, "-schedule", strings.TrimSpace(again)}
		text, err = rebuild.Command(t.Context(), w.Dir, binary, args...).Output()
		if err == nil || !bytes.Contains(text, []byte("FAILED")) {
			t.Errorf("%s does not show again by %v", name, args)
		}
		text, err = rebuild.Command(t.Context(), w.Dir, sound, args...).CombinedOutput()
		if err != nil && !bytes.Contains(text, []byte("does not fit")) {
			t.Errorf("%s: the source as it is fails in %v: %s", name, args, text)
		}
	}
}

// Each mutant has a name of its own, and fits the source.
func TestMutantsApply(t *testing.T) {
	root, err := rebuild.FindModule(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, m := range Mutants() {
		if seen[m.Name] {
			t.Errorf("two mutants %s", m.Name)
		}
		seen[m.Name] = true
		if unseen[m.Name] != "" {
			continue
		}
		g := &generator{root: root}
		if _, err := g.sources(m); err != nil {
			t.Error(err)
		}
	}
	for name := range unseen {
		if !seen[name] {
			t.Errorf("there is no mutant %s that could be unseen", name)
		}
	}
}
