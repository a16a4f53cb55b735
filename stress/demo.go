package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"interlock/stress/internal/demo"
	"interlock/stress/internal/report"
)

func newDemoFlags(errs io.Writer) (*flag.FlagSet, *demo.Options) {
	o := &demo.Options{In: os.Stdin}
	set := flag.NewFlagSet("stress demo", flag.ContinueOnError)
	set.SetOutput(errs)
	set.BoolVar(&o.Fixed, "fixed", false, "only the versions that are right")
	set.BoolVar(&o.Quiz, "quiz", false, "ask for a prediction first")
	return set, o
}

func cmdDemo(args []string, out, errs io.Writer) report.Code {
	set, o := newDemoFlags(errs)
	names, code, ok := parse(set, args, errs)
	switch {
	case !ok:
		return instead("demo", code, out)
	case len(names) == 0:
		return listDemos(out)
	case len(names) > 1:
		fmt.Fprintf(errs, "stress demo: one at a time, not %q\n", names)
		return report.Usage
	}
	d := demo.Find(names[0])
	if d == nil {
		fmt.Fprintf(errs, "stress demo: no demo %q.", names[0])
		if guess := nearest(names[0], demoNames()); guess != "" {
			fmt.Fprintf(errs, " Did you mean %q?", guess)
		}
		fmt.Fprintln(errs, "\nstress demo lists them.")
		return report.Usage
	}
	ctx, stop := untilSignal()
	defer stop()
	code, err := demo.Play(ctx, d, *o, out)
	if ctx.Err() != nil {
		return report.Interrupted
	}
	if err != nil {
		fmt.Fprintf(errs, "stress demo: %v\n", err)
	}
	return code
}

// listDemos prints the demos in the order that teaches.
func listDemos(out io.Writer) report.Code {
	fmt.Fprintln(out, "What goes wrong between processes, in the order that teaches:")
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, d := range demo.All() {
		fmt.Fprintf(t, "  %s\t%s\n", d.Name, d.Title)
	}
	t.Flush()
	fmt.Fprintln(out, "\nstress demo NAME shows one; -quiz asks you first, -fixed shows only what is right.")
	return report.Pass
}

func demoNames() []string {
	var names []string
	for _, d := range demo.All() {
		names = append(names, d.Name)
	}
	return names
}
