package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"interlock/stress/internal/report"
	"interlock/stress/internal/schedule"
	"interlock/stress/internal/schedule/explore"
	"interlock/stress/internal/selftest"
)

// scheduleOptions are the flags of schedules. Those of a search are handed on to the
// program that is built.
type scheduleOptions struct {
	*explore.Options
	list, mutants bool
}

func newScheduleFlags(errs io.Writer) (*flag.FlagSet, *scheduleOptions) {
	set := flag.NewFlagSet("stress schedules", flag.ContinueOnError)
	set.SetOutput(errs)
	o := &scheduleOptions{Options: explore.Flags(set)}
	set.BoolVar(&o.list, "list", false, "list the scenarios, and search nothing")
	set.BoolVar(&o.mutants, "mutants", false, "search each mutant for a schedule that shows its bug; names of mutants may follow")
	return set, o
}

func cmdSchedules(args []string, out, errs io.Writer) report.Code {
	set, o := newScheduleFlags(errs)
	names, code, ok := parse(set, args, errs)
	if !ok {
		return instead("schedules", code, out)
	}
	if err := o.Check(); err != nil {
		fmt.Fprintf(errs, "stress schedules: %v\n", err)
		return report.Usage
	}
	if len(names) > 0 && !o.mutants {
		fmt.Fprintf(errs, "stress schedules: %q: only names of mutants, behind -mutants, stand alone\n", names[0])
		return report.Usage
	}
	ctx, stop := untilSignal()
	defer stop()
	switch {
	case o.list:
		explore.List(out)
		return report.Pass
	case o.mutants:
		mutants, err := selftest.SelectFrom(schedule.Mutants(), names)
		if err != nil {
			fmt.Fprintf(errs, "stress schedules: %v\n", err)
			return report.Usage
		}
		if len(names) == 0 {
			mutants = append([]selftest.Mutant{{}}, mutants...) // the source as it is
		}
		limit := time.Minute
		set.Visit(func(f *flag.Flag) {
			if f.Name == "for" {
				limit = o.For
			}
		})
		return schedule.Hunt(ctx, mutants, limit, out, errs)
	}
	return schedule.Run(ctx, o.Options, handOn(set), out, errs)
}

// handOn is the flags that were set, as arguments.
func handOn(set *flag.FlagSet) (args []string) {
	set.Visit(func(f *flag.Flag) { args = append(args, "-"+f.Name+"="+strings.TrimSpace(f.Value.String())) })
	return args
}
