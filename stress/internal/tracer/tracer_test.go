// A sample of "stress everywhere": every play, in every crowd, and a few places where to
// kill in each. It fails if a victim's death has other consequences than it must, and if
// a play does not execute the library at all.
package tracer

import (
	"context"
	"errors"
	"os"
	"testing"

	"interlock/internal/race"
	"interlock/stress/internal/ptrace"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == ActorCommand {
		os.Exit(Work(os.Args[2:]))
	}
	os.Exit(m.Run())
}

func needTracer(t *testing.T) {
	t.Helper()
	if race.Enabled {
		t.Skip("the detector's instructions are not the library's")
	}
	if err := Probe(); errors.Is(err, ptrace.ErrUnsupported) || errors.Is(err, ptrace.ErrRefused) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

// T18
func TestASampleOfDeaths(t *testing.T) {
	needTracer(t)
	cases, err := Match(nil)
	if err != nil {
		t.Fatal(err)
	}
	every := 400
	if os.Getenv("INTERLOCK_LONG") != "" {
		every = 1
	}
	var rows []*Row
	t.Log(Head())
	err = Run(context.Background(), cases, Options{Every: every, Victims: 3, Failures: 5, Progress: func(string) {}, Row: func(r *Row) {
		rows = append(rows, r)
		t.Log(r.Text())
		if len(r.Failures) > 0 {
			t.Errorf("%s: %d failures", r.Name(), len(r.Failures))
		}
		if r.Skipped == "" && (r.Seen == 0 || r.Kills == 0) {
			t.Errorf("%s executes nothing of the library", r.Name())
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	sum := Total(rows)
	if len(rows) != len(cases) || sum.Held == 0 || sum.AtCalls == 0 {
		t.Errorf("%d rows of %d cases, %d deaths with the mutex, %d at system calls", len(rows), len(cases), sum.Held, sum.AtCalls)
	}
}

// The instructions are told apart by where they come from, and names of cases choose.
func TestWhatIsOurs(t *testing.T) {
	x := newText()
	for _, pc := range entries() {
		if !x.steps(pc) {
			t.Fatalf("%s is an entry, and not to be stepped through", place(pc))
		}
	}
	if x.ours(endAddress()) || !x.steps(endAddress()) {
		t.Error("the end of the window is taken for the library")
	}
	all, _ := Match(nil)
	one, err := Match([]string{"Unlock: alone"})
	if err != nil || len(one) != 1 {
		t.Errorf("%d %v", len(one), err)
	}
	some, err := Match([]string{"Lock*", "Share"})
	if err != nil || len(some) < 5 || len(some) >= len(all) {
		t.Errorf("%d of %d, %v", len(some), len(all), err)
	}
	for _, bad := range []string{"Lok", "["} {
		if _, err := Match([]string{bad}); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
