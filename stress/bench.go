package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/bench"
	"interlock/stress/internal/report"
)

// benchOptions are the flags of bench.
type benchOptions struct {
	bench.Config
	short  bool
	list   bool
	format string
	output string
	names  []string
}

func newBenchFlags(errs io.Writer) (*flag.FlagSet, *benchOptions) {
	o := &benchOptions{Config: bench.Default}
	set := flag.NewFlagSet("stress bench", flag.ContinueOnError)
	set.SetOutput(errs)
	set.DurationVar(&o.Duration, "duration", bench.Default.Duration, "`time` for each side of a comparison, cut into slices that take turns")
	set.IntVar(&o.Rounds, "rounds", bench.Default.Rounds, "`number` of slices: each gives a figure, and the middle one counts")
	set.IntVar(&o.Kills, "kills", bench.Default.Kills, "`number` of holders to kill for the line recovery")
	set.BoolVar(&o.short, "short", false, "a few seconds for all: shows that everything works, and nothing else")
	set.BoolVar(&o.list, "list", false, "list the lines and measure nothing")
	set.StringVar(&o.format, "format", "text", "`form` of the result: text, markdown, json, or go for benchstat")
	set.StringVar(&o.output, "o", "", "write the result to `file`; the table is still shown")
	return set, o
}

func parseBench(args []string, errs io.Writer) (*benchOptions, report.Code) {
	set, o := newBenchFlags(errs)
	names, code, ok := parse(set, args, errs)
	if !ok {
		return nil, code
	}
	o.names = names
	if o.short {
		o.Config = bench.Short
	}
	if err := o.check(); err != nil {
		fmt.Fprintf(errs, "stress bench: %v\n", err)
		return nil, report.Usage
	}
	return o, report.Pass
}

func (o *benchOptions) check() error {
	if _, ok := bench.Formats[o.format]; !ok {
		return fmt.Errorf("-format %s: text, markdown, json or go", o.format)
	}
	switch {
	case o.Rounds < 1 || o.Rounds > 1000:
		return fmt.Errorf("-rounds %d: between 1 and 1000", o.Rounds)
	case o.Duration < time.Duration(o.Rounds)*time.Millisecond:
		return fmt.Errorf("-duration %v: at least %d ms, one for each of the -rounds", o.Duration, o.Rounds)
	case o.Kills < 1:
		return fmt.Errorf("-kills %d: at least 1", o.Kills)
	}
	return nil
}

func cmdBench(args []string, out, errs io.Writer) report.Code {
	o, code := parseBench(args, errs)
	switch {
	case o == nil:
		return instead("bench", code, out)
	case o.list:
		return listLines(out)
	}
	result, shown := out, errs
	if o.output != "" {
		f, err := os.Create(o.output) // say so now rather than after two minutes
		if err != nil {
			fmt.Fprintf(errs, "stress bench: -o: %v\n", err)
			return report.Setup
		}
		defer f.Close()
		result, shown = f, out
	} else if o.format == "text" {
		result, shown = nil, out
	}
	ctx, stop := untilSignal()
	defer stop()
	if err := bench.Check(o.names); err != nil {
		return unknownLine(err, errs)
	}
	fmt.Fprintf(shown, "%s\n\n%s\n", bench.ThisHost(), bench.Head())
	now := newNow(os.Stderr)
	res := bench.Run(ctx, o.names, o.Config, bench.Watch{Begin: now.show, Row: func(r *bench.Row) {
		now.clear()
		fmt.Fprintln(shown, r.Text())
	}})
	now.clear()
	fmt.Fprintf(shown, "\n%s\n", res.Summary())
	if result != nil {
		if err := bench.Formats[o.format](result, res); err != nil {
			fmt.Fprintf(errs, "stress bench: %v\n", err)
			return report.Worse(res.Code, report.Setup)
		}
	}
	return res.Code
}

// now says on a terminal what is being measured; elsewhere nothing: rows come soon.
type now struct{ out io.Writer }

func newNow(f *os.File) now {
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil || os.Getenv("TERM") == "dumb" {
		return now{io.Discard}
	}
	return now{f}
}

func (n now) show(line, about string) { fmt.Fprintf(n.out, "\r\x1b[K%s: %s", line, about) }
func (n now) clear()                  { fmt.Fprint(n.out, "\r\x1b[K") }

func unknownLine(err error, errs io.Writer) report.Code {
	fmt.Fprintf(errs, "stress bench: %v\n", err)
	var unknown bench.UnknownLine
	if errors.As(err, &unknown) {
		if guess := nearest(string(unknown), lineNames()); guess != "" {
			fmt.Fprintf(errs, "Did you mean %q?\n", guess)
		}
	}
	return report.Usage
}

func lineNames() (names []string) {
	for _, n := range bench.Names() {
		names = append(names, n[0])
	}
	return names
}

func listLines(out io.Writer) report.Code {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, n := range bench.Names() {
		fmt.Fprintln(t, strings.Join(n[:], "\t"))
	}
	t.Flush()
	return report.Pass
}
