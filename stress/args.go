package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
)

// options are the flags of run.
type options struct {
	duration   time.Duration
	procs      int
	goroutines int
	kill       float64
	stop       float64
	points     bool
	chaos      string
	seed       uint64
	hang       time.Duration
	noProgress bool
	json       string
	trace      string
	history    int
	latency    bool // the table of latencies too
	thresholds []*report.Threshold
	plans      []*scenario.Plan
	seeded     bool
	all        bool // every scenario was asked for
}

// limits keep a slip of the fingers from taking the machine down.
const (
	maxProcs = 1024
	maxKill  = 1000
	maxStop  = 1000

	maxHistory = 1 << 20
)

var chaosKinds = []string{"off", "light", "heavy"}

const defaultHang = 5 * time.Second

func newFlags(errs io.Writer) (*flag.FlagSet, *options) {
	o := &options{}
	set := flag.NewFlagSet("stress run", flag.ContinueOnError)
	set.SetOutput(errs)
	set.DurationVar(&o.duration, "duration", 0, "`time` for each scenario (0: the scenario's own, about 28 s in all)")
	set.IntVar(&o.procs, "procs", 0, "worker `processes` (0: the scenario's own number)")
	set.IntVar(&o.goroutines, "goroutines", 0, "`goroutines` in each worker process (0: the scenario's own number)")
	set.Float64Var(&o.kill, "kill", 80, "`kills` per second, on average; 0: none")
	set.Float64Var(&o.stop, "stop", 0, "`stops` per second, on average: SIGSTOP to a worker, and after a while SIGCONT; 0: none")
	set.BoolVar(&o.points, "points", false, "kill at every named point too, and list which were hit; builds stress anew, with the library's marks")
	set.StringVar(&o.chaos, "chaos", "off", "delays at the library's marks, and a worker of low priority: off, light or heavy; builds stress anew")
	set.Func("seed", "`number` from which all random decisions follow (default: a new one)", func(s string) error {
		v, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			return errors.New("not a number such as 7 or 0x5eed")
		}
		o.seed, o.seeded = v, true
		return nil
	})
	set.DurationVar(&o.hang, "hang", defaultHang, "no progress for this `time` is a hang")
	set.StringVar(&o.json, "json", "", "write the results as JSON to `file`; - is standard output")
	set.BoolVar(&o.noProgress, "no-progress", false, "do not show how the run goes; else a terminal shows it in place, and anything else a line every 5 s. NO_COLOR is respected")
	set.StringVar(&o.trace, "trace", "", "write what each goroutine waited for and held as trace events to `file`, for ui.perfetto.dev; its last 512 operations, or so many as -history says")
	set.IntVar(&o.history, "history", 0, "time every operation, and keep the last `n` of each goroutine (0: some are timed anyway, and the last 256 of these kept)")
	set.BoolVar(&o.latency, "latency", true, "print the latencies and the histogram of recoveries behind the verdicts")
	set.Func("threshold", "`demand` such as mutex.wait.p99<2ms; can be given several times; one that is missed is exit code 6", func(s string) error {
		t, err := report.ParseThreshold(s)
		o.thresholds = append(o.thresholds, t)
		return err
	})
	return set, o
}

func parseRun(args []string, errs io.Writer) (*options, report.Code) {
	set, o := newFlags(errs)
	names, code, ok := parse(set, args, errs)
	if !ok {
		return nil, code
	}
	if err := o.check(names); err != nil {
		fmt.Fprintf(errs, "stress run: %v\n", err)
		return nil, report.Usage
	}
	if !o.seeded {
		o.seed = rand.Uint64() >> 32 // short enough to be typed again
	}
	return o, report.Pass
}

func (o *options) check(names []string) error {
	switch {
	case o.duration < 0:
		return fmt.Errorf("-duration %v: it cannot be negative", o.duration)
	case o.procs < 0 || o.procs > maxProcs:
		return fmt.Errorf("-procs %d: between 1 and %d", o.procs, maxProcs)
	case o.goroutines < 0:
		return fmt.Errorf("-goroutines %d: at least 1", o.goroutines)
	case !(o.kill >= 0 && o.kill <= maxKill):
		return fmt.Errorf("-kill %v: between 0 and %d a second", o.kill, maxKill)
	case !(o.stop >= 0 && o.stop <= maxStop):
		return fmt.Errorf("-stop %v: between 0 and %d a second", o.stop, maxStop)
	case o.points && o.kill == 0:
		return errors.New("-points needs kills, and -kill 0 asks for none")
	case !slices.Contains(chaosKinds, o.chaos):
		return fmt.Errorf("-chaos %s: off, light or heavy", o.chaos)
	case o.history < 0 || o.history > maxHistory:
		return fmt.Errorf("-history %d: between 0 and %d", o.history, maxHistory)
	case o.hang < 100*time.Millisecond:
		return fmt.Errorf("-hang %v: at least 100ms, or every hiccup of the machine is a hang", o.hang)
	}
	return o.selectPlans(names)
}

func (o *options) selectPlans(names []string) error {
	if len(names) == 0 {
		names = []string{"all"}
	}
	chosen := map[string]bool{}
	for _, name := range names {
		found := scenario.Match(name)
		if len(found) == 0 {
			hint := ""
			if guess := nearest(name, scenarioNames()); guess != "" {
				hint = fmt.Sprintf(" Did you mean %q?", guess)
			}
			return fmt.Errorf("no scenario %q.%s\nThere are: %s, all", name, hint, strings.Join(scenarioNames(), ", "))
		}
		for _, p := range found {
			chosen[p.Name] = true
		}
	}
	for _, p := range scenario.All() { // their own order, each once
		if chosen[p.Name] {
			o.plans = append(o.plans, p)
		}
	}
	o.all = len(o.plans) == len(scenario.All())
	return nil
}

// shape is the number of processes and goroutines for a scenario. It must be
// able to have what was asked for, except that "all" runs what it can.
func (o *options) shape(p *scenario.Plan) (scenario.Shape, error) {
	s := p.Shape
	if p.Fixed {
		return s, nil
	}
	if o.procs > 0 {
		s.Procs = o.procs
	}
	if o.goroutines > 0 {
		s.Lanes = o.goroutines
	}
	fit := scenario.Shape{Procs: max(s.Procs, p.Least.Procs), Lanes: min(max(s.Lanes, p.Least.Lanes), p.Most())}
	switch {
	case len(o.plans) > 1 || s == fit:
		return fit, nil
	case s.Lanes > p.Most():
		return s, fmt.Errorf("%s has at most %d goroutines in each process", p.Name, p.Most())
	}
	return s, fmt.Errorf("%s needs at least %d processes and %d goroutines in each", p.Name, p.Least.Procs, p.Least.Lanes)
}
