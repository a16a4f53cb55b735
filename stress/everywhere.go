package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"interlock/stress/internal/report"
	"interlock/stress/internal/selftest"
	"interlock/stress/internal/tracer"
)

// everywhereOptions are the flags of everywhere.
type everywhereOptions struct {
	every   int
	victims int
	short   bool
	list    bool
	most    int
	mutant  string
	cases   []tracer.Case
}

func newEverywhereFlags(errs io.Writer) (*flag.FlagSet, *everywhereOptions) {
	o := &everywhereOptions{}
	set := flag.NewFlagSet("stress everywhere", flag.ContinueOnError)
	set.SetOutput(errs)
	set.IntVar(&o.every, "every", 1, "kill at each `n`-th place only")
	set.BoolVar(&o.short, "short", false, "a sample that takes seconds: the same as -every 100")
	set.IntVar(&o.victims, "j", 2, "so `many` victims at the same time")
	set.IntVar(&o.most, "failures", 5, "leave an operation after so `many`")
	set.BoolVar(&o.list, "list", false, "list the operations and crowds, and kill nobody")
	set.StringVar(&o.mutant, "mutant", "", "run the library with this `bug` of the selftest: it should be found")
	return set, o
}

func parseEverywhere(args []string, errs io.Writer) (*everywhereOptions, report.Code) {
	set, o := newEverywhereFlags(errs)
	names, code, ok := parse(set, args, errs)
	if !ok {
		return nil, code
	}
	if o.short {
		o.every = max(o.every, 100)
	}
	var err error
	if o.cases, err = tracer.Match(names); err == nil {
		err = o.check()
	}
	if err != nil {
		fmt.Fprintf(errs, "stress everywhere: %v\nThere is a list: stress everywhere -list\n", err)
		return nil, report.Usage
	}
	return o, report.Pass
}

func (o *everywhereOptions) check() error {
	switch {
	case o.every < 1:
		return fmt.Errorf("-every %d: at least 1", o.every)
	case o.most < 1:
		return fmt.Errorf("-failures %d: at least 1", o.most)
	case o.victims < 1 || o.victims > 64:
		return fmt.Errorf("-j %d: between 1 and 64", o.victims)
	}
	return nil
}

func cmdEverywhere(args []string, out, errs io.Writer) report.Code {
	o, code := parseEverywhere(args, errs)
	switch {
	case o == nil:
		return instead("everywhere", code, out)
	case o.list:
		for _, c := range o.cases {
			fmt.Fprintln(out, c.Name())
		}
		return report.Pass
	}
	ctx, stop := untilSignal()
	defer stop()
	if o.mutant != "" {
		return everywhereMutant(ctx, o, args, out, errs)
	}
	return killEverywhere(ctx, o, out, errs)
}

func killEverywhere(ctx context.Context, o *everywhereOptions, out, errs io.Writer) report.Code {
	now, begin := newNow(os.Stderr), time.Now()
	var rows []*tracer.Row
	fmt.Fprintln(out, tracer.Head())
	err := tracer.Run(ctx, o.cases, tracer.Options{Every: o.every, Victims: o.victims, Failures: o.most,
		Progress: func(text string) { now.show("killing", text) },
		Row: func(r *tracer.Row) {
			rows = append(rows, r)
			now.clear()
			fmt.Fprintln(out, r.Text())
		},
	})
	now.clear()
	sum := tracer.Total(rows)
	fmt.Fprintf(out, "%d addresses, %d of them with a kill; %d kills, %d of them at system calls, %d holding a mutex; %.0fs: %d failures\n",
		sum.Seen, sum.Covered, sum.Kills, sum.AtCalls, sum.Held, time.Since(begin).Seconds(), len(sum.Failures))
	code := report.Pass
	if len(sum.Failures) > 0 {
		code = report.Broke
	}
	switch {
	case err != nil:
		fmt.Fprintf(errs, "stress everywhere: %v\n", err)
		return report.Worse(code, report.Setup)
	case ctx.Err() != nil:
		return report.Interrupted
	}
	return code
}

// everywhereMutant builds the library with a bug and has that program do the same.
func everywhereMutant(ctx context.Context, o *everywhereOptions, args []string, out, errs io.Writer) report.Code {
	code, err := selftest.Play(ctx, o.mutant, append([]string{"everywhere"}, withoutMutant(args)...), out, errs)
	if err != nil {
		fmt.Fprintf(errs, "stress everywhere: -mutant: %v\n", err)
	}
	return code
}

func withoutMutant(args []string) (rest []string) {
	for i := 0; i < len(args); i++ {
		switch name, _, joined := strings.Cut(strings.TrimLeft(args[i], "-"), "="); {
		case !strings.HasPrefix(args[i], "-") || name != "mutant":
			rest = append(rest, args[i])
		case !joined:
			i++ // its value
		}
	}
	return rest
}
