package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
	"interlock/stress/internal/supervise"
)

func cmdRun(args []string, out, errs io.Writer) report.Code {
	o, code := parseRun(args, errs)
	if o == nil {
		if code == report.Pass {
			usage(out)
		}
		return code
	}
	if o.json != "" && o.json != "-" { // say so now rather than after ten seconds
		f, err := os.OpenFile(o.json, os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			fmt.Fprintf(errs, "stress run: -json: %v\n", err)
			return report.Setup
		}
		f.Close()
	}
	// With JSON on standard output the verdict lines go to stderr.
	lines := out
	if o.json == "-" {
		lines = errs
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	results, code := runAll(ctx, o, lines, errs)
	if results == nil {
		return code
	}
	if o.latency {
		report.Latencies(lines, results)
	}
	code = report.Worse(code, judgeThresholds(o.thresholds, results, lines))
	if o.json != "" {
		doc := report.NewDocument(o.seed, args, code, results)
		if err := doc.Write(o.json, out); err != nil {
			fmt.Fprintf(errs, "stress: writing -json: %v\n", err)
			code = report.Worse(code, report.Setup)
		}
	}
	return code
}

// judgeThresholds says which of the user's demands were met.
func judgeThresholds(all []*report.Threshold, results []*report.Result, lines io.Writer) report.Code {
	code := report.Pass
	for _, t := range all {
		said, met := t.Judge(results)
		fmt.Fprintln(lines, strings.Join(said, "\n"))
		if !met {
			code = report.Late
		}
	}
	return code
}

// runAll runs the chosen scenarios one after another. nil results: usage.
func runAll(ctx context.Context, o *options, lines, errs io.Writer) ([]*report.Result, report.Code) {
	for _, p := range o.plans {
		if _, err := o.shape(p); err != nil {
			fmt.Fprintf(errs, "stress run: %v\n", err)
			return nil, report.Usage
		}
	}
	progress := report.NewProgress(os.Stderr)
	code := report.Pass
	results := []*report.Result{}
	for _, p := range o.plans {
		if ctx.Err() != nil {
			code = report.Interrupted
			break
		}
		shape, _ := o.shape(p)
		opts := supervise.Options{
			Shape: shape, Duration: o.duration, Hang: o.hang,
			KillRate: o.kill, StopRate: o.stop, Seed: o.seed, Progress: progress,
		}
		if opts.Duration == 0 {
			opts.Duration = p.Duration
		}
		r := supervise.Run(ctx, p, opts)
		results = append(results, r)
		code = report.Worse(code, r.Code)
		fmt.Fprintln(lines, report.Line(r))
		for _, problem := range r.Problems {
			fmt.Fprintln(lines, "  "+strings.ReplaceAll(problem, "\n", "\n  "))
		}
		if r.Code != report.Pass && r.Code != report.Interrupted {
			fmt.Fprintf(lines, "  again: stress run %s\n", o.replay(p, shape, opts.Duration))
		}
	}
	return results, code
}

// replay is what to say after "stress run" for the same decisions once more.
func (o *options) replay(p *scenario.Plan, shape scenario.Shape, lasts time.Duration) string {
	text := fmt.Sprintf("%s -procs %d -goroutines %d -duration %v -kill %v", p.Name, shape.Procs, shape.Lanes, lasts, o.kill)
	if o.stop > 0 {
		text += fmt.Sprintf(" -stop %v", o.stop)
	}
	if o.hang != defaultHang {
		text += fmt.Sprintf(" -hang %v", o.hang)
	}
	return text + fmt.Sprintf(" -seed %#x", o.seed)
}
