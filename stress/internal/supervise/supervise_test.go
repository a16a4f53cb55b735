package supervise

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
)

// The supervisor is tested with scenarios of its own, in which workers do on
// purpose what the real ones must never do. The test binary is the worker.
func TestMain(m *testing.M) {
	known = func() []*scenario.Plan { return testPlans }
	if len(os.Args) > 1 && os.Args[1] == WorkerCommand {
		os.Exit(Work(os.Args[2:]))
	}
	// Under -race a process sleeps for a second before it exits, which is longer
	// than the hangs of these tests.
	os.Setenv("GORACE", "atexit_sleep_ms=0")
	os.Exit(m.Run())
}

type testArea struct{ Count atomic.Uint64 }

func testPlan(name string, step func(l *scenario.Lane, area *testArea) error) *scenario.Plan {
	return &scenario.Plan{
		Name: name, About: name,
		Area: func(procs, lanes int) int { return arena.SizeOf[testArea]() },
		Attach: func(w *scenario.Worker) (scenario.Body, error) {
			area := arena.At[testArea](w.Arena.Scenario(), 0)
			return scenario.Body{Step: func(l *scenario.Lane) error { return step(l, area) }}, nil
		},
		Check: func(a *arena.Arena, f *scenario.Findings) {},
	}
}

// work is an operation that takes a moment.
func work(l *scenario.Lane) {
	time.Sleep(200 * time.Microsecond)
	l.Ops.Add(1)
}

var testPlans = []*scenario.Plan{
	testPlan("good", func(l *scenario.Lane, area *testArea) error {
		area.Count.Add(1)
		work(l)
		return nil
	}),
	testPlan("fault", func(l *scenario.Lane, area *testArea) error {
		if work(l); area.Count.Add(1) == 50 {
			l.Fault("the number is %d", 50)
		}
		return nil
	}),
	testPlan("panics", func(l *scenario.Lane, area *testArea) error {
		if work(l); area.Count.Add(1) == 50 {
			panic("on purpose")
		}
		return nil
	}),
	testPlan("fails", func(l *scenario.Lane, area *testArea) error {
		if work(l); area.Count.Add(1) == 50 {
			return errors.New("a step failed on purpose")
		}
		return nil
	}),
	testPlan("leaves", func(l *scenario.Lane, area *testArea) error {
		if work(l); area.Count.Add(1) == 50 {
			os.Exit(0)
		}
		return nil
	}),
	testPlan("hangs", func(l *scenario.Lane, area *testArea) error {
		if work(l); area.Count.Load() > 50 {
			l.Label.Store(scenario.LabelWaiting)
			select {}
		}
		area.Count.Add(1)
		return nil
	}),
	testPlan("stays", func(l *scenario.Lane, area *testArea) error {
		if work(l); l.ID == 1 {
			l.Label.Store(scenario.LabelWaiting)
			for { // the others go on, so it shows only when all shall leave
				time.Sleep(time.Millisecond)
			}
		}
		return nil
	}),
	unready(),
	lateComer(),
	reacher(),
}

// reacher is a scenario with traps, of which nobody comes to the last.
func reacher() *scenario.Plan {
	p := testPlan("reacher", func(l *scenario.Lane, area *testArea) error {
		l.Reach(scenario.LabelOwn)
		l.Reach(scenario.LabelOwn + 1)
		work(l)
		return nil
	})
	p.Labels = []string{"first", "second", "nowhere"}
	p.Traps = []uint32{scenario.LabelOwn, scenario.LabelOwn + 1}
	return p
}

// lateComer is a scenario whose workers take their time to come in place of another.
func lateComer() *scenario.Plan {
	p := testPlan("latecomer", func(l *scenario.Lane, area *testArea) error {
		work(l)
		return nil
	})
	attach := p.Attach
	p.Attach = func(w *scenario.Worker) (scenario.Body, error) {
		if w.Gen > 1 {
			time.Sleep(time.Second)
		}
		return attach(w)
	}
	return p
}

func unready() *scenario.Plan {
	p := testPlan("unready", nil)
	p.Attach = func(w *scenario.Worker) (scenario.Body, error) {
		return scenario.Body{}, errors.New("no attaching on purpose")
	}
	return p
}

// patience is long enough for any machine.
const patience = 30 * time.Second

// untilTrouble is for a run that comes to its end by itself.
func untilTrouble(p *scenario.Plan, o *Options) { o.Duration = patience }

// toHang is for a run that hangs.
func toHang(p *scenario.Plan, o *Options) { o.Duration, o.Hang = patience, 400*time.Millisecond }

// toStay is for one that hangs at its end.
func toStay(p *scenario.Plan, o *Options) { o.Hang = 400 * time.Millisecond }

func run(t *testing.T, name string, change func(p *scenario.Plan, o *Options)) *report.Result {
	t.Helper()
	for _, p := range testPlans {
		if p.Name != name {
			continue
		}
		q := *p
		o := Options{Shape: scenario.Shape{Procs: 3, Lanes: 2}, Duration: 200 * time.Millisecond, Hang: patience, Seed: 1}
		if change != nil {
			change(&q, &o)
		}
		r := Run(context.Background(), &q, o)
		t.Logf("%s %v", report.Line(r), r.Problems)
		return r
	}
	t.Fatalf("no plan %s", name)
	return nil
}

// What a worker does is what the verdict says.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p *scenario.Plan, o *Options)
		code   report.Code
		text   string
	}{
		{"good", nil, report.Pass, ""},
		{"fault", untilTrouble, report.Broke, "the number is 50"},
		{"panics", untilTrouble, report.Died, "panic: on purpose"},
		{"fails", untilTrouble, report.Died, "a step failed on purpose"},
		{"leaves", untilTrouble, report.Died, "died unasked: exit status 0"},
		{"hangs", toHang, report.Hang, "nobody has finished anything"},
		{"stays", toStay, report.Hang, "nobody has finished anything"},
		{"unready", nil, report.Setup, "no attaching on purpose"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := run(t, c.name, c.change)
			if r.Code != c.code || !strings.Contains(strings.Join(r.Problems, "\n"), c.text) {
				t.Errorf("code %d %q, want %d with %q", r.Code, r.Problems, c.code, c.text)
			}
		})
	}
}

// A run that fails leaves what a person needs: what was done to whom, states, threads,
// every goroutine.
func TestFailuresLeaveEvidence(t *testing.T) {
	killing := func(change func(p *scenario.Plan, o *Options)) func(p *scenario.Plan, o *Options) {
		return func(p *scenario.Plan, o *Options) {
			change(p, o)
			p.Words = func(a *arena.Arena) []scenario.Word { return []scenario.Word{{Name: "the word", State: "spelt out"}} }
			p.Conduct = func(st scenario.Stage) { st.Kill(2, false) }
		}
	}
	for name, change := range map[string]func(p *scenario.Plan, o *Options){"hangs": toHang, "fault": untilTrouble, "panics": untilTrouble} {
		wanted := map[string]string{"schedule.txt": "kill   worker 2", "words.txt": "the word: spelt out", "threads.txt": "state S", "arena.bin": ""}
		r := run(t, name, killing(change))
		if name == "panics" {
			wanted["schedule.txt"] = "unasked"
			wanted[died(r)] = "panic: on purpose"
		} else {
			wanted["worker-0.txt"] = "goroutine"
		}
		for file, want := range wanted {
			if data := r.Evidence[file]; data == nil || !strings.Contains(string(data), want) {
				t.Errorf("%s: %s: no %q in it", name, file, want)
			}
		}
	}
}

// died is the file with what a worker wrote that died unasked.
func died(r *report.Result) string {
	for name := range r.Evidence {
		if strings.HasSuffix(name, "-died.txt") {
			return name
		}
	}
	return "worker-N-died.txt"
}

// One that passes leaves nothing, unless it is asked to.
func TestASoundRunLeavesNothing(t *testing.T) {
	if r := run(t, "good", nil); r.Evidence != nil {
		t.Errorf("%d files", len(r.Evidence))
	}
	r := run(t, "good", func(p *scenario.Plan, o *Options) { o.Keep = true })
	if r.Evidence["schedule.txt"] == nil || r.Evidence["arena.bin"] == nil {
		t.Errorf("kept: %d files", len(r.Evidence))
	}
}

// Killed workers are replaced at once, and their deaths are nobody's fault.
func TestKilledAreReplaced(t *testing.T) {
	for lasts := 500 * time.Millisecond; ; lasts *= 2 { // a busy machine takes long to replace them
		r := run(t, "good", func(p *scenario.Plan, o *Options) { o.KillRate, o.Duration = 100, lasts })
		if r.Code != report.Pass {
			t.Errorf("code %d", r.Code)
		}
		if r.Kills >= 5 {
			return
		}
		if lasts > patience {
			t.Fatalf("%d kills in %v at 100 a second", r.Kills, lasts)
		}
	}
}

// While the machine is about to replace a worker nobody hangs for want of it.
func TestASlowReplacementIsNoHang(t *testing.T) {
	r := run(t, "latecomer", func(p *scenario.Plan, o *Options) {
		o.Shape, o.Duration, o.Hang = scenario.Shape{Procs: 1, Lanes: 1}, 2*time.Second, 400*time.Millisecond
		p.Directed = true
		p.Conduct = func(st scenario.Stage) {
			st.Kill(0, false)
			for begin := time.Now(); !st.Ready(0) && time.Since(begin) < patience; {
				time.Sleep(time.Millisecond)
			}
		}
	})
	if r.Code != report.Pass || r.Kills != 1 {
		t.Errorf("code %d, %d kills", r.Code, r.Kills)
	}
}

// A worker that was killed and is not ended for very long is the machine's fault; one that
// does not become ready, and that nobody has killed, is not excused.
func TestAWorkerThatIsNotEnded(t *testing.T) {
	a, err := arena.Create(1, 1, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for _, c := range []struct {
		killed        bool
		since         time.Duration
		slow, trouble bool
	}{{true, time.Second, true, false}, {true, 2 * tooSlowly, false, true}, {false, 2 * tooSlowly, false, false}} {
		crew := &crew{arena: a, hands: []*hand{{gen: 1, killed: c.killed, proc: &os.Process{Pid: 7}}}, absent: []time.Time{time.Now().Add(-c.since)}}
		if slow := crew.slow(); slow != c.slow || crew.trouble() != c.trouble {
			t.Errorf("%+v: slow %v, in trouble %v %q", c, slow, crew.trouble(), crew.setup)
		}
		setting, _ := os.ReadFile("/proc/sys/kernel/sched_autogroup_enabled")
		if c.trouble && strings.Contains(crew.setup[0], "sched_autogroup") != (string(setting) == "1\n") {
			t.Errorf("%q, where the setting is %q", crew.setup, setting)
		}
	}
}

// A scenario may bound the kills that are asked for.
func TestMostKills(t *testing.T) {
	for _, c := range []struct {
		asked, most float64
		mean        time.Duration
	}{{100, 0, 10 * time.Millisecond}, {100, 5, 200 * time.Millisecond}, {2, 5, 500 * time.Millisecond}, {0, 5, 0}} {
		k := newKiller(&crew{plan: &scenario.Plan{MostKills: c.most}}, Options{KillRate: c.asked, Seed: 1})
		if k.gaps.mean != c.mean {
			t.Errorf("%+v: %v between two kills", c, k.gaps.mean)
		}
	}
}

// A crowd shares one lane for each worker, and its size is what was asked for.
func TestCrowdSharesALane(t *testing.T) {
	lanes, crowd := uint32(0), uint32(0)
	r := run(t, "good", func(p *scenario.Plan, o *Options) {
		p.Crowd = true
		p.Setup = func(a *arena.Arena) { lanes, crowd = a.Lanes.Load(), a.Crowd.Load() }
	})
	if r.Code != report.Pass || r.Goroutines != 2 || lanes != 1 || crowd != 2 {
		t.Errorf("code %d, %d goroutines, %d lanes, a crowd of %d", r.Code, r.Goroutines, lanes, crowd)
	}
}

// Everybody parks for a pause, also the replacements of the killed, and goes
// on afterwards.
func TestPause(t *testing.T) {
	pauses, moved := 0, 0
	for lasts := 500 * time.Millisecond; pauses < 3 && lasts < 2*patience; lasts *= 2 {
		pausing(t, lasts, &pauses, &moved)
	}
	if pauses < 3 || moved > 0 {
		t.Errorf("%d pauses, in %d of them somebody moved", pauses, moved)
	}
}

func pausing(t *testing.T, lasts time.Duration, pauses, moved *int) {
	t.Helper()
	run(t, "good", func(p *scenario.Plan, o *Options) {
		o.KillRate, o.Duration = 50, lasts
		p.Conduct = func(st scenario.Stage) {
			area := arena.At[testArea](st.Arena().Scenario(), 0)
			for st.Sleep(20 * time.Millisecond) {
				if !st.Pause() {
					return
				}
				before := area.Count.Load()
				time.Sleep(2 * time.Millisecond)
				if area.Count.Load() != before {
					*moved++
				}
				*pauses++
				st.Resume()
			}
		}
	})
}

// An interrupt ends the run early, and the result says so.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	r := Run(ctx, testPlans[0], Options{Shape: scenario.Shape{Procs: 2, Lanes: 1}, Duration: 2 * patience, Hang: patience})
	if r.Code != report.Interrupted || time.Since(begin) > patience {
		t.Errorf("code %d after %v", r.Code, time.Since(begin))
	}
}

// A slow recovery is a missed threshold, never a broken invariant; a missing one
// is the latter.
func TestRecoveryThreshold(t *testing.T) {
	grave := func(repaired time.Duration) func(p *scenario.Plan, o *Options) {
		return func(p *scenario.Plan, o *Options) {
			p.Setup = func(a *arena.Arena) {
				g := a.Bury(1, true)
				if repaired > 0 {
					g.Repaired.Store(g.At.Load() + int64(repaired))
				}
			}
		}
	}
	if r := run(t, "good", grave(time.Minute)); r.Code != report.Late || r.Worst != time.Minute {
		t.Errorf("a minute: code %d, worst %v", r.Code, r.Worst)
	}
	if r := run(t, "good", grave(50*time.Millisecond)); r.Code != report.Pass || r.Recovered != 1 {
		t.Errorf("50 ms: code %d, recovered %d", r.Code, r.Recovered)
	}
	if r := run(t, "good", grave(0)); r.Code != report.Broke {
		t.Errorf("never: code %d", r.Code)
	}
}
