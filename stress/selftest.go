package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
	"interlock/stress/internal/selftest"
)

func newSelftestFlags(errs io.Writer) (set *flag.FlagSet, patch *string) {
	set = flag.NewFlagSet("stress selftest", flag.ContinueOnError)
	set.SetOutput(errs)
	patch = set.String("patch", "", "try a change of your own instead: a unified diff in `file` (- is standard input), from the module's root; every scenario is to catch it")
	return set, patch
}

func cmdSelftest(args []string, out, errs io.Writer) report.Code {
	set, patch := newSelftestFlags(errs)
	names, code, ok := parse(set, args, errs)
	if !ok {
		return instead("selftest", code, out)
	}
	if *patch != "" {
		return tryPatch(*patch, names, out, errs)
	}
	mutants, err := selftest.Select(names)
	if err != nil {
		fmt.Fprintf(errs, "stress selftest: %v. There are:\n", err)
		for _, m := range selftest.Mutants() {
			fmt.Fprintf(errs, "  %-27s %s\n", m.Name, m.Bug)
		}
		return report.Usage
	}
	ctx, stop := untilSignal()
	defer stop()
	return selftest.Run(ctx, mutants, out)
}

// tryPatch runs the scenarios of these names, all if there are none, with a patch.
func tryPatch(file string, names []string, out, errs io.Writer) report.Code {
	var o options
	if err := o.selectPlans(names); err != nil {
		fmt.Fprintf(errs, "stress selftest: %v\n", err)
		return report.Usage
	}
	text, err := readAll(file)
	if err != nil {
		fmt.Fprintf(errs, "stress selftest: -patch: %v\n", err)
		return report.Usage
	}
	ctx, stop := untilSignal()
	defer stop()
	code, err := selftest.TryPatch(ctx, text, catchers(o.plans), out)
	if ctx.Err() != nil {
		fmt.Fprintln(out, "interrupted")
		return report.Interrupted
	}
	if err != nil {
		fmt.Fprintf(errs, "stress selftest: -patch: %v\n", err)
	}
	return code
}

// catchers are the scenarios that say something about the library: not the control.
func catchers(plans []*scenario.Plan) (names []string) {
	for _, p := range plans {
		if p.Name != "lost-update" && (p.Missing == nil || p.Missing() == "") {
			names = append(names, p.Name)
		}
	}
	return names
}

func readAll(file string) (string, error) {
	if file == "-" {
		text, err := io.ReadAll(os.Stdin)
		return string(text), err
	}
	text, err := os.ReadFile(file)
	return string(text), err
}
