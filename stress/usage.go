package main

import (
	"flag"
	"fmt"
	"io"
	"text/tabwriter"

	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
)

// overview is what stress is and can do.
const overview = `stress tries to break interlock's primitives: real processes, real shared memory,
kill -9 at any instruction, and for each scenario a model of what must hold.

Usage:
  stress                          every scenario, about 28 s
  stress run [NAME…|all] [flags]  the named ones ('seg*' works); flags before or after the names
  stress list                     the scenarios
  stress selftest [MUTANT…]       build deliberately broken variants of the library's own
                                  source and run the fitting scenario: each must be caught
  stress selftest -patch FILE     the same with a change of yours, against every scenario
  stress everywhere [OPERATION…]  kill a process at every instruction of the library that an
                                  operation executes, and at each of its system calls
  stress schedules [flags]        the library's own source under a scheduler that tries one
                                  order of steps and deaths after the other
  stress bench [NAME…] [flags]    speed, measured in one run beside what one would use instead
  stress demo [NAME] [flags]      what goes wrong between processes, shown with real ones, and the fix;
                                  without NAME the list; -step, -web: you say who moves, step by
                                  step, on the terminal or in the browser
  stress inspect [WHAT…] [flags]  who holds, waits for and died with what in shared memory, and what
                                  to do about it; WHAT is a segment's name, a path, /proc/PID/fd/N,
                                  sysv:ID or sysv:0xKEY; without it, every segment of Share's
  stress clean                    remove what stress itself left behind, and nothing else
  stress help [COMMAND]           all of this, or what there is to know of one command

Exit codes:
  0 pass   1 an invariant broke   2 usage   3 a hang or lost wake-up
  4 set-up or resources   5 a worker died unasked   6 a threshold missed
  130 interrupted (the partial report is still printed)
  Of selftest -patch: 0 caught   1 not caught   2 it does not apply or compile
  Of demo: 0 the broken version broke and the fixed ones held   1 not so
  Of inspect: 0 nothing to do   1 somebody has to act   2 usage   4 cannot be looked at
`

// topic is what there is to know of one command that has flags.
type topic struct {
	command string
	flags   func(errs io.Writer) *flag.FlagSet
	more    string
}

func topics() []topic {
	return []topic{
		{"run", func(w io.Writer) *flag.FlagSet { set, _ := newFlags(w); return set }, runHelp},
		{"selftest", func(w io.Writer) *flag.FlagSet { set, _ := newSelftestFlags(w); return set }, ""},
		{"everywhere", func(w io.Writer) *flag.FlagSet { set, _ := newEverywhereFlags(w); return set }, everywhereHelp},
		{"schedules", func(w io.Writer) *flag.FlagSet { set, _ := newScheduleFlags(w); return set }, ""},
		{"bench", func(w io.Writer) *flag.FlagSet { set, _ := newBenchFlags(w); return set }, ""},
		{"demo", func(w io.Writer) *flag.FlagSet { set, _ := newDemoFlags(w); return set }, ""},
		{"inspect", func(w io.Writer) *flag.FlagSet { set, _ := newInspectFlags(w); return set }, ""},
	}
}

// write writes what is known of a command, below its own line of the overview.
func (t topic) write(w io.Writer) {
	fmt.Fprintf(w, "\nFlags of %s:\n", t.command)
	t.flags(w).PrintDefaults()
	fmt.Fprint(w, t.more)
}

// usage is everything there is to know.
func usage(w io.Writer) {
	fmt.Fprint(w, overview)
	for _, t := range topics() {
		t.write(w)
	}
}

// usageOf is what there is to know of one command; false: there is none of that name.
func usageOf(name string, w io.Writer) bool {
	for _, c := range commands() {
		if c.name != name {
			continue
		}
		fmt.Fprintf(w, "stress %s: %s\n", name, c.about)
		for _, t := range topics() {
			if t.command == name {
				t.write(w)
			}
		}
		return true
	}
	return false
}

func cmdHelp(args []string, out, errs io.Writer) report.Code {
	switch {
	case len(args) == 0:
		usage(out)
	case len(args) > 1:
		fmt.Fprintf(errs, "stress help: of one command at a time, not %q\n", args)
		return report.Usage
	case !usageOf(args[0], out):
		fmt.Fprintf(errs, "stress help: no command %q\n", args[0])
		return report.Usage
	}
	return report.Pass
}

const runHelp = `
The verdict line:
  PASS mutex 4p×8g 1.6s 31.2M ops kills 212 recovered 98 worst 8.4ms lost 0 seed 0x5eed
  4 processes of 8 goroutines; 212 workers killed, 98 times with the lock held, so that
  a survivor had to repair; worst time from kill(2) to the beginning of a repair.

The latencies (stress run): wait is from the call to having it (seqlock, read-mostly:
  a Load), hold from having it to having given it away (there: a Store or an Update), of every 16th operation;
  recovery is from kill(2) to the beginning of the repair, of every death. Of all workers
  together, those that were killed included.
  The same -seed makes the same random decisions; the kernel's schedule is its own.

Faults of a run; those of a scenario that gives its own orders are its own:
  -kill  SIGKILL, half of them at any instruction, half inside the lock
  -stop  SIGSTOP, likewise, for 0.1 to 6.4 ms or, one in 16, for 20 to 160 ms. A stopped
         worker is not hung, and not dead: a repair on its behalf is a broken invariant.
         How long recoveries take is not judged then: who repairs may be stopped.
  -points  The library has named points between the steps of its protocols. stress is built
         anew with them, from the source (else exit code 4), and every second kill is at a
         point or at a trap inside the lock, each in turn. A run goes on, for 10 s at most,
         until somebody has been killed at each that its scenario comes by. The list says
         how often workers came by each, and how many were killed there. If all scenarios
         run and a point is missed, that is exit code 6, like a threshold: something was
         not tried, but nothing is known to be broken.
  -chaos  Delays at the same points, for the threads between a change of a word and the
         system call: sleeping, giving way or keeping the CPU, for 1 µs to 1 ms (light) or
         65 ms (heavy), a fifth of each worker's time at most; and one worker has nice 19,
         or runs only when nobody else wants to (heavy). No time is judged then.
  At the end of a run there are none for a while: what hangs there does so by itself.

A run that fails leaves a folder in the temporary directory, says where, and says what to
call for the same faults again. In it are the seed, the list of what was done to whom and
when, the primitives' words spelt out, the memory, and every goroutine of the workers.
stress clean removes it.

The operations of a goroutine are written down, the last ones of those that are timed: when
it called, had what it wanted, and gave it away. Where only one may be inside no two may
overlap. With -history n every operation is timed, which costs more than most of them take,
and the last n are kept; with -trace they are also written to a file. A trace says of itself
what it lacks. Of the crowds of herd one goroutine in each worker writes its operations down.

On a terminal the run is shown in place; elsewhere there is a line every five seconds, on
standard error.
`

const everywhereHelp = `
A line of everywhere:
  addresses  instructions of the library: so many with a kill just before them, of so many
             that were seen to be executed, by any thread of the victim
  calls      places where the library makes system calls: killed before, in and after each
  holding    kills while the victim held the mutex: each time a survivor was told
  slow       places that the victim came to only while it was stepped
  missed     places that no victim came to again
  slowest    from a kill to what a survivor waited for
`

func cmdList(args []string, out, errs io.Writer) report.Code {
	if len(args) > 0 {
		fmt.Fprintf(errs, "stress list: takes no arguments, not %q\n", args[0])
		return report.Usage
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, p := range scenario.All() {
		fmt.Fprintf(t, "%s\t%s\n", p.Name, p.About)
	}
	t.Flush()
	return report.Pass
}

func scenarioNames() []string {
	var names []string
	for _, p := range scenario.All() {
		names = append(names, p.Name)
	}
	return names
}

// nearest is the name that differs from word in the fewest letters, if they
// are few enough for a slip of the fingers.
func nearest(word string, names []string) string {
	best, least := "", 3
	for _, n := range names {
		if d := distance(word, n); d < least {
			best, least = n, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
