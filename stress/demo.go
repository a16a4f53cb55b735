package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"interlock/stress/internal/demo"
	"interlock/stress/internal/lab"
	"interlock/stress/internal/lab/web"
	"interlock/stress/internal/report"
)

// demoOptions are the flags of demo.
type demoOptions struct {
	demo.Options
	step     bool
	schedule string
	all      bool
	engine   string
	web      bool
	addr     string
}

func newDemoFlags(errs io.Writer) (*flag.FlagSet, *demoOptions) {
	o := &demoOptions{}
	o.In = os.Stdin
	set := flag.NewFlagSet("stress demo", flag.ContinueOnError)
	set.SetOutput(errs)
	set.BoolVar(&o.Fixed, "fixed", false, "only the versions that are right")
	set.BoolVar(&o.Quiz, "quiz", false, "ask for a prediction first")
	set.BoolVar(&o.step, "step", false, "move the two processes by hand, one machine instruction at a time")
	set.StringVar(&o.schedule, "schedule", "", "with -step: who moves, as ABABAB; x kills A, y kills B (default: the keys say)")
	set.BoolVar(&o.all, "all", false, "with -step: all 20 orders of three steps each")
	set.StringVar(&o.engine, "engine", "", "with -step or -web: step by `"+lab.EngineCPU+" or "+lab.EngineOp+"`, by ptrace or by a semaphore (default: ptrace where it works)")
	set.BoolVar(&o.web, "web", false, "move them in the browser")
	set.StringVar(&o.addr, "addr", anyPort, "with -web: `address` to listen on, a loopback one")
	return set, o
}

const anyPort = "127.0.0.1:0"

func cmdDemo(args []string, out, errs io.Writer) report.Code {
	set, o := newDemoFlags(errs)
	names, code, ok := parse(set, args, errs)
	switch {
	case !ok:
		return instead("demo", code, out)
	case len(names) == 0 && !o.steps():
		return listDemos(out)
	case len(names) == 0:
		names = []string{"lost-update"}
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
	if err := o.check(d.Name); err != nil {
		fmt.Fprintf(errs, "stress demo: %v\n", err)
		return report.Usage
	}
	ctx, stop := untilSignal()
	defer stop()
	code, err := o.show(ctx, d, out)
	if ctx.Err() != nil {
		return report.Interrupted
	}
	if err != nil {
		fmt.Fprintf(errs, "stress demo: %v\n", err)
	}
	return code
}

// steps says whether a flag is there that is about moving processes by hand.
func (o *demoOptions) steps() bool {
	return o.step || o.web || o.schedule != "" || o.all || o.engine != "" || o.addr != anyPort
}

// check finds flags that do not go together.
func (o *demoOptions) check(name string) (err error) {
	switch {
	case o.step && o.web:
		return errors.New("-step or -web, not both")
	case o.web && (o.schedule != "" || o.all || o.Quiz):
		return errors.New("-web goes with -addr, -engine and -fixed")
	case !o.web && o.addr != anyPort:
		return errors.New("-addr belongs to -web")
	case !o.web && !o.step && o.steps():
		return errors.New("-schedule, -all and -engine belong to -step")
	case o.engine != "" && o.engine != lab.EngineCPU && o.engine != lab.EngineOp:
		return fmt.Errorf("-engine %s: it is %s or %s", o.engine, lab.EngineCPU, lab.EngineOp)
	case o.all && (o.schedule != "" || o.Quiz || name != "lost-update" || o.Fixed):
		return errors.New("-all is for lost-update as it is, and goes with -engine only")
	case o.step && o.Quiz && o.schedule == "":
		return errors.New("-quiz with -step asks about a -schedule")
	case o.steps() && lab.ForDemo(name, o.Fixed) == nil:
		return fmt.Errorf("-step and -web are for %s", lab.Stepped)
	}
	o.schedule, err = lab.ParseSchedule(o.schedule)
	return err
}

func (o *demoOptions) show(ctx context.Context, d *demo.Demo, out io.Writer) (report.Code, error) {
	if o.web {
		err := web.Serve(ctx, web.Options{Addr: o.addr, Program: lab.ForDemo(d.Name, o.Fixed), Engine: o.engine}, out)
		switch {
		case errors.Is(err, web.ErrLeft):
			fmt.Fprintln(out, "The page was closed.")
			return report.Pass, nil
		case errors.Is(err, web.ErrAddr):
			return report.Usage, err
		}
		return report.Setup, err
	}
	if !o.step {
		return demo.Play(ctx, d, o.Options, out)
	}
	err := lab.Show(ctx, lab.Options{Demo: d.Name, Fixed: o.Fixed, Engine: o.engine, Schedule: o.schedule, All: o.all, Quiz: o.Quiz, In: os.Stdin}, out)
	switch {
	case errors.Is(err, lab.ErrOutcome):
		return report.Broke, err
	case errors.Is(err, lab.ErrLetter): // read from standard input
		return report.Usage, err
	case err != nil:
		return report.Setup, err
	}
	return report.Pass, nil
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
	fmt.Fprintln(out, "stress demo NAME -step moves the processes by hand, -web does so in the browser, for\n"+lab.Stepped+".")
	return report.Pass
}

func demoNames() []string {
	var names []string
	for _, d := range demo.All() {
		names = append(names, d.Name)
	}
	return names
}
