package demo

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/race"
	"interlock/stress/internal/lab"
	"interlock/stress/internal/report"
)

// The test binary is its own process of a demo: see Stage.start.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == WorkerCommand {
		os.Exit(Work(os.Args[2:]))
	}
	os.Exit(m.Run())
}

var runs = flag.Int("runs", 0, "how often each broken version is run, on one CPU and on all (0: 3 times, and 100 with INTERLOCK_LONG=1)")

func runsOfEach() int {
	switch {
	case *runs > 0:
		return *runs
	case os.Getenv("INTERLOCK_LONG") != "":
		return 100
	}
	return 3
}

// What is broken must be so in at least 99 of 100 runs; what is right never. How many
// of them took more than a second is printed: that depends on what else the machine
// has to do.
func TestEachShowsWhatItMust(t *testing.T) {
	notUnderRace(t)
	for _, d := range All() {
		t.Run(d.Name, func(t *testing.T) {
			t.Run("all CPUs", func(t *testing.T) { shows(t, d) })
			t.Run("one CPU", func(t *testing.T) {
				defer onOneCPU(t)()
				shows(t, d)
			})
		})
	}
}

func notUnderRace(t *testing.T) {
	t.Helper()
	if race.Enabled {
		t.Skip("the race detector's own synchronisation makes races rare, and takes its time")
	}
}

func shows(t *testing.T, d *Demo) {
	misses, slow, tries, rounds := 0, 0, 0, runsOfEach()
	for range rounds {
		begun := time.Now()
		r, n, err := runBroken(context.Background(), d)
		if no := (refusal{}); errors.As(err, &no) {
			t.Skip(no)
		}
		if err != nil {
			t.Fatal(err)
		}
		tries += n
		if _, ok := judge(d, r); !ok {
			misses++
		} else if time.Since(begun) > promised {
			slow++
		}
	}
	t.Logf("%d CPUs: %d of %d broken, %d of them after more than %v, %d tries", cpus(), rounds-misses, rounds, slow, promised, tries)
	if misses*100 > rounds {
		t.Errorf("%d of %d runs showed nothing in %v", misses, rounds, enough)
	}
	for _, v := range d.Fixes {
		for range (rounds + 9) / 10 {
			r, err := run(context.Background(), d, v)
			if err != nil || r.Wrong != 0 {
				t.Errorf("%s: %+v %v", v.Name, r, err)
			}
		}
	}
}

// onOneCPU confines this thread, and so what it starts, to one CPU.
func onOneCPU(t *testing.T) (undo func()) {
	t.Helper()
	var before, one unix.CPUSet
	runtime.LockOSThread()
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	for cpu := range len(before) * 64 {
		if before.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	}
}

// Where the CPUs are busy with others, what needs two processes at the same time goes well
// again and again. Then all go to one CPU, and that is said.
func TestBusyCPUs(t *testing.T) {
	n := cpus()
	if n == 1 {
		t.Skip("one CPU")
	}
	d := *ring
	d.try = func(st *Stage) (*Result, error) {
		if cpus() > 1 {
			return &Result{}, nil // as if the other never ran
		}
		return ring.try(st)
	}
	var out strings.Builder
	code, err := Play(context.Background(), &d, Options{}, &out)
	if err != nil || code != report.Pass || !strings.Contains(out.String(), "all processes are on one CPU") {
		t.Errorf("code %d, %v\n%s", code, err, out.String())
	}
	if cpus() != n {
		t.Errorf("%d CPUs are left of %d", cpus(), n)
	}
}

// What a person sees: in 80 columns, with the code that runs.
func TestPages(t *testing.T) {
	notUnderRace(t)
	for _, d := range All() {
		t.Run(d.Name, func(t *testing.T) {
			var out strings.Builder
			code, err := Play(context.Background(), d, Options{Quiz: true, In: strings.NewReader(string(rune('a'+d.Quiz.Right)) + "\n")}, &out)
			if err != nil || code != report.Pass {
				t.Errorf("code %d, %v", code, err)
			}
			text := out.String()
			for i, line := range strings.Split(text, "\n") {
				if len(line) > width {
					t.Errorf("line %d has %d columns: %s", i+1, len(line), line)
				}
			}
			for _, want := range []string{"Right.", "What to use", "docs/learn/" + d.Name + ".md", "Why"} {
				if !strings.Contains(text, want) {
					t.Errorf("no %q", want)
				}
			}
			for i := range len(text) {
				if text[i] > '~' || text[i] < ' ' && text[i] != '\n' {
					t.Fatalf("byte %#x in it", text[i])
				}
			}
		})
	}
}

// Every function that is shown exists.
func TestWhatIsShownRuns(t *testing.T) {
	for _, d := range All() {
		for _, v := range append([]Version{d.Broken}, d.Fixes...) {
			if len(v.Shows) == 0 {
				t.Errorf("%s, %s: no code", d.Name, v.Name)
			}
			for _, f := range append(v.Shows, v.Parts...) {
				if len(function(f)) == 0 {
					t.Errorf("%s: no function %s", d.Name, f)
				}
			}
		}
	}
}

func TestAChangeIsShown(t *testing.T) {
	from, to := Version{Shows: []string{"enterPlain"}}, Version{Shows: []string{"enterCAS"}}
	plus, minus := 0, 0
	for _, line := range change(from, to) {
		switch line[0] {
		case '+':
			plus++
		case '-':
			minus++
		}
	}
	if plus != 1 || minus != 2 {
		t.Errorf("%d lines come and %d go: %q", plus, minus, change(from, to))
	}
	if same := change(from, from); same != nil {
		t.Errorf("no change, and yet %q", same)
	}
}

// Where two functions change it is seen where one ends and the other begins, and a third
// that stays is left out. If there are more of them than before, the new ones are shown.
func TestAChangeOfTwoFunctions(t *testing.T) {
	from := Version{Shows: []string{"takeBell", "bringBell", "putSignal"}}
	to := Version{Shows: []string{"takeFutex", "bringFutex", "putSignal"}}
	text := "\n" + strings.Join(change(from, to), "\n") + "\n"
	for _, want := range []string{"\n  func takeBell(", "\n-             _ = futex.Wait(&s.Bell", "\n  }\n\n  func bringBell(", "\n+         _, _ = futex.Wake(&s.Letter"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in%s", want, text)
		}
	}
	if strings.Contains(text, "Count++") {
		t.Errorf("putSignal did not change:%s", text)
	}
	if text := fix(from, Version{Shows: []string{"takeFutex"}}); text[0] != function("takeFutex")[0] {
		t.Errorf("three functions and one: %q", text)
	}
}

func TestTwentySchedulesOfWhichEighteenLose(t *testing.T) {
	lost := 0
	all := lab.Merges("LAS", "las")
	for _, s := range all {
		if n := outcome(s); n == 1 {
			lost++
		} else if n != 2 {
			t.Errorf("%s: %d", s, n)
		}
	}
	if len(all) != 20 || lost != 18 {
		t.Errorf("%d of %d", lost, len(all))
	}
}

// A prediction that is wrong is said to be, and none is no reason to stop.
func TestQuiz(t *testing.T) {
	q := Quiz{Question: "Which?", Choices: []string{"one", "two"}, Right: 1, Because: "It is so."}
	for answer, want := range map[string]string{"b\n": "Right.", "B)\n": "Right.", "a\n": "It is b.", "\n": "None", "": "None"} {
		var out strings.Builder
		(&printer{&out}).ask(context.Background(), q, strings.NewReader(answer))
		if !strings.Contains(out.String(), want) {
			t.Errorf("to %q it says %q", answer, out.String())
		}
	}
}

// A run that does not end is a fault of a version that is right, and no verdict on one
// that is not.
func TestAHangIsFound(t *testing.T) {
	st, err := newStage(context.Background(), lostUpdate, "plain")
	if err != nil {
		t.Fatal(err)
	}
	defer st.dismiss()
	limit := patience
	patience = 50 * time.Millisecond
	defer func() { patience = limit }()
	if err := st.until("never", func() bool { return false }); err == nil || !strings.Contains(err.Error(), "never") {
		t.Error(err)
	}
}

func TestNoProcessStays(t *testing.T) {
	if _, err := run(context.Background(), privateFutex, privateFutex.Broken); err != nil {
		t.Fatal(err)
	}
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		if left, _ := os.ReadFile(list); len(left) > 0 {
			t.Errorf("processes left behind: %s", left)
		}
	}
}
