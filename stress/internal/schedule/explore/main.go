package explore

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Options are what a search is asked for.
type Options struct {
	Scenario    string
	Processes   int
	Preemptions int // -1: the scenario's own; the same for Kills
	Kills       int
	Random      bool
	Seed        uint64
	For         time.Duration
	Schedule    string
	Mutant      string // whose source this program was built from
	Hunt        bool   // one report, of the first failure in any scenario
	Near        string // the package whose scenarios are hunted in first; may be empty
}

// MostProcesses is for how many processes the library's source may be compiled.
const MostProcesses = 8

// Flags defines the options as flags.
func Flags(set *flag.FlagSet) *Options {
	o := &Options{}
	set.StringVar(&o.Scenario, "scenario", "", "`name` of the only scenario (default: all)")
	set.IntVar(&o.Processes, "processes", 0, "`number` of processes, if the scenario has not more anyway")
	set.IntVar(&o.Preemptions, "preemptions", -1, "how often a thread that could go on is held up, at most (-1: the scenario's own `number`)")
	set.IntVar(&o.Kills, "kills", -1, "processes that are killed, at most (-1: the scenario's own `number`)")
	set.BoolVar(&o.Random, "random", false, "schedules by random priorities, instead of all in order")
	set.Uint64Var(&o.Seed, "seed", 1, "`number` of the first random schedule")
	set.DurationVar(&o.For, "for", 5*time.Second, "CPU `time` for each scenario, at most, and with -mutants for each mutant (there 1m0s)")
	set.StringVar(&o.Schedule, "schedule", "", "follow this `schedule` of the scenario, and print each step")
	set.StringVar(&o.Mutant, "mutant", "", "search the source with this `mutant`'s bug in it")
	set.BoolVar(&o.Hunt, "hunt", false, "stop at the first failure in any scenario, and report it as JSON")
	set.StringVar(&o.Near, "near", "", "with -hunt, spend half of the time on the scenarios of this `package`: semaphore, condvar or seqlock")
	return o
}

// Check is what is wrong with the options.
func (o *Options) Check() error {
	switch {
	case o.Scenario != "" && find(o.Scenario) == nil:
		return fmt.Errorf("no scenario %q; there are %s", o.Scenario, strings.Join(names(), ", "))
	case o.Processes < 0 || o.Processes > MostProcesses:
		return fmt.Errorf("-processes %d: between 1 and %d", o.Processes, MostProcesses)
	case o.Schedule != "" && o.Scenario == "":
		return errors.New("-schedule needs the -scenario that it belongs to")
	case o.Scenario != "" && o.Kills > 0 && find(o.Scenario).kills == 0:
		return fmt.Errorf("-kills %d: in scenario %s nobody is prepared for a death; see -list", o.Kills, o.Scenario)
	case o.For <= 0:
		return fmt.Errorf("-for %v: longer than nothing", o.For)
	case o.Random && o.Preemptions >= 0:
		return errors.New("-preemptions means nothing with -random")
	}
	return nil
}

// Needs is for how many processes the source is to be compiled.
func (o *Options) Needs() int {
	most := o.Processes
	for _, s := range o.chosen() {
		most = max(most, s.processes)
	}
	return most
}

func (o *Options) chosen() (chosen []*scenario) {
	for i := range scenarios {
		if s := &scenarios[i]; o.Scenario == "" || s.name == o.Scenario {
			chosen = append(chosen, s)
		}
	}
	return chosen
}

// near are those that play the package o.Near.
func near(o *Options, chosen []*scenario) (some []*scenario) {
	begins := map[string][]string{"semaphore": {"semaphore"}, "condvar": {"signal", "broadcast"}, "seqlock": {"seqlock", "twin"}}
	for _, s := range chosen {
		if slices.ContainsFunc(begins[o.Near], func(word string) bool { return strings.HasPrefix(s.name, word) }) {
			some = append(some, s)
		}
	}
	return some
}

func names() (all []string) {
	for _, s := range scenarios {
		all = append(all, s.name)
	}
	return all
}

// List prints the scenarios.
func List(out io.Writer) {
	for _, s := range scenarios {
		fmt.Fprintf(out, "%-17s  %s\n", s.name, s.about)
	}
}

// Main is the program that is built from the library's source and the simulation.
func Main(args []string, out, errs io.Writer) int {
	set := flag.NewFlagSet("schedules", flag.ContinueOnError)
	set.SetOutput(errs)
	o := Flags(set)
	if err := set.Parse(args); err != nil {
		return 2
	}
	if err := o.Check(); err != nil {
		fmt.Fprintln(errs, err)
		return 2
	}
	runtime.GOMAXPROCS(1) // only one goroutine runs at a time, and should not wander
	debug.SetGCPercent(400)
	switch {
	case o.Hunt:
		return report(json.NewEncoder(out).Encode(hunt(o)), errs)
	case o.Schedule != "":
		return follow(o, out, errs)
	}
	return searchAll(o, out)
}

func report(err error, errs io.Writer) int {
	if err != nil {
		fmt.Fprintln(errs, err)
		return 2
	}
	return 0
}

// searchAll searches one scenario after the other, and prints a line for each.
func searchAll(o *Options, out io.Writer) (code int) {
	fmt.Fprintf(out, "%-17s %9s %6s %11s %9s %7s %7s %6s\n",
		"scenario", "processes", "kills", "preemptions", "schedules", "longest", "looks", "time")
	for _, s := range o.chosen() {
		r, preemptions, word := s.search(o)
		fmt.Fprintf(out, "%-17s %9d %6d %11s %9d %7d %7d %5.1fs  %s\n",
			r.Scenario, r.Processes, s.bound(o).kills, preemptions, r.Schedules, r.Longest, r.Looks, r.Seconds, word)
		if r.Failure != "" {
			fmt.Fprintf(out, "  %s\n  to see it: stress schedules%s\n", r.Failure, r.again(o))
			code = 1
		}
	}
	return code
}

// search is what the options ask for, in one scenario.
func (s *scenario) search(o *Options) (r *Report, preemptions, word string) {
	if o.Random {
		r, preemptions = s.sample(o), "random"
	} else {
		r, preemptions, word = s.exhaust(o), fmt.Sprint(s.bound(o).preemptions), ""
	}
	switch {
	case r.Failure != "":
		word = "FAILED"
	case r.All:
		word = "all"
	case r.Complete != "":
		word = "all with " + r.Complete
	}
	return r, preemptions, word
}

// again is how to follow the schedule that failed.
func (r *Report) again(o *Options) string {
	s := fmt.Sprintf(" -scenario %s", r.Scenario)
	if o.Mutant != "" {
		s = " -mutant " + o.Mutant + s
	}
	if o.Processes > 0 {
		s += fmt.Sprintf(" -processes %d", o.Processes)
	}
	return s + " -schedule " + r.Schedule
}

// follow executes one schedule, and prints its steps.
func follow(o *Options, out, errs io.Writer) int {
	c, err := newReplay(o.Schedule)
	if err != nil {
		fmt.Fprintln(errs, err)
		return 2
	}
	s := find(o.Scenario)
	x := s.execute(s.report(o).Processes, c, c.kills, true)
	for _, line := range x.Trace {
		fmt.Fprintln(out, line)
	}
	switch {
	case c.wrong != "":
		fmt.Fprintln(errs, "the schedule does not fit:", c.wrong)
		return 2
	case x.Failure != "":
		fmt.Fprintln(out, "FAILED:", x.Failure)
		return 1
	}
	fmt.Fprintln(out, "nothing went wrong")
	return 0
}
