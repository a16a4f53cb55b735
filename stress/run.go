package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"interlock/stress/internal/leftover"
	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
	"interlock/stress/internal/supervise"
	"interlock/stress/internal/trace"
)

func cmdRun(args []string, out, errs io.Writer) report.Code {
	o, code := parseRun(args, errs)
	if o == nil {
		return instead("run", code, out)
	}
	if err := o.openFiles(); err != nil {
		fmt.Fprintf(errs, "stress run: %v\n", err)
		return report.Setup
	}
	// With JSON on standard output the verdict lines go to stderr.
	lines := out
	if o.json == "-" {
		lines = errs
	}
	ctx, stop := untilSignal()
	defer stop()
	marks, code := o.marks(ctx, errs)
	if code != report.Pass {
		return code
	}
	var t *trace.File
	if o.trace != "" {
		t = &trace.File{}
	}
	results, code := runAll(ctx, o, t, marks, args, lines, errs)
	if results == nil {
		return code
	}
	if err := o.writeTrace(t); err != nil {
		fmt.Fprintf(errs, "stress run: writing -trace: %v\n", err)
		code = report.Worse(code, report.Setup)
	}
	if o.latency {
		report.Latencies(lines, results)
	}
	code = report.Worse(code, o.judgeCoverage(marks, results, lines))
	code = report.Worse(code, judgeThresholds(o, results, args, lines))
	if o.json != "" {
		doc := report.NewDocument(o.seed, args, code, results)
		if err := doc.Write(o.json, out); err != nil {
			fmt.Fprintf(errs, "stress: writing -json: %v\n", err)
			code = report.Worse(code, report.Setup)
		}
	}
	return code
}

// openFiles says now rather than after ten seconds that a file cannot be written.
func (o *options) openFiles() error {
	for name, path := range map[string]string{"-json": o.json, "-trace": o.trace} {
		if path == "" || path == "-" && name == "-json" {
			continue
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f.Close()
	}
	return nil
}

// traceKept is how many operations of each goroutine are in a trace, if nobody says.
const traceKept = 512

// writeTrace writes the trace, if one is wanted.
func (o *options) writeTrace(t *trace.File) error {
	if t == nil {
		return nil
	}
	f, err := os.Create(o.trace)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	if err := t.Write(w); err != nil {
		return err
	}
	return w.Flush()
}

// judgeThresholds says which of the user's demands were met.
func judgeThresholds(o *options, results []*report.Result, args []string, lines io.Writer) report.Code {
	code := report.Pass
	for _, t := range o.thresholds {
		said, met := t.Judge(results)
		fmt.Fprintln(lines, strings.Join(said, "\n"))
		if !met {
			code = report.Late
		}
	}
	for _, r := range results {
		if len(r.Missed) > 0 && r.Folder == "" {
			o.leave(scenario.Match(r.Name)[0], r, args, lines)
		}
	}
	return code
}

// runAll runs the chosen scenarios one after another. nil results: usage.
func runAll(ctx context.Context, o *options, t *trace.File, marks, args []string, lines, errs io.Writer) ([]*report.Result, report.Code) {
	for _, p := range o.plans {
		if _, err := o.shape(p); err != nil {
			fmt.Fprintf(errs, "stress run: %v\n", err)
			return nil, report.Usage
		}
	}
	var progress *report.Progress // nil shows none
	if !o.noProgress {
		progress = report.NewProgress(os.Stderr)
	}
	code := report.Pass
	results := []*report.Result{}
	covered := map[string]bool{}
	for _, p := range o.plans {
		if ctx.Err() != nil {
			break
		}
		if p.Missing != nil {
			why := p.Missing()
			if ctx.Err() != nil {
				break // that may be why
			}
			if why != "" { // neither passed nor failed
				fmt.Fprintf(lines, "SKIP %-11s %s\n", p.Name, strings.ReplaceAll(why, "\n", "\n  "))
				continue
			}
		}
		settings := o.settings(p, progress)
		settings.Marks, settings.Covered, settings.Trace = marks, covered, t
		r := supervise.Run(ctx, p, settings)
		results = append(results, r)
		for _, point := range r.Points {
			covered[point.Name] = covered[point.Name] || !point.Trap && point.Kills > 0
		}
		code = report.Worse(code, r.Code)
		fmt.Fprintln(lines, report.Line(r))
		for _, problem := range r.Problems {
			fmt.Fprintln(lines, "  "+strings.ReplaceAll(problem, "\n", "\n  "))
		}
		if r.Code.Fails() {
			o.leave(p, r, args, lines)
		}
	}
	if ctx.Err() != nil {
		code = report.Interrupted
	}
	if len(results) == 0 && code == report.Pass {
		code = report.Setup // nothing was shown
	}
	return results, code
}

// settings are how a scenario is to be run.
func (o *options) settings(p *scenario.Plan, progress *report.Progress) supervise.Options {
	shape, _ := o.shape(p)
	s := supervise.Options{
		Shape: shape, Duration: o.duration, Hang: o.hang,
		KillRate: o.kill, StopRate: o.stop, Points: o.points, Seed: o.seed, Progress: progress, Keep: len(o.thresholds) > 0,
		History: o.history,
	}
	if o.trace != "" && o.history == 0 {
		s.History = traceKept
	}
	switch o.chaos {
	case "light":
		s.Chaos = scenario.ChaosLight
	case "heavy":
		s.Chaos = scenario.ChaosHeavy
	}
	if s.Duration == 0 {
		s.Duration = p.Duration
	}
	return s
}

// leave leaves a folder with what there is about a run that failed, and says where.
func (o *options) leave(p *scenario.Plan, r *report.Result, args []string, lines io.Writer) {
	again := "stress run " + o.replay(p)
	code := r.Code
	if len(r.Missed) > 0 {
		code = report.Worse(code, report.Late)
	}
	dir, err := leftover.MakeDir(leftover.Failure)
	if err == nil {
		err = r.Leave(dir, again, report.NewDocument(o.seed, args, code, []*report.Result{r}))
	}
	if err != nil {
		fmt.Fprintf(lines, "  %s: no folder with the evidence: %v\n", p.Name, err)
	} else {
		fmt.Fprintf(lines, "  %s: seed, schedule of faults, memory, goroutines: %s\n", p.Name, dir)
	}
	fmt.Fprintf(lines, "  again: %s\n", again)
	r.Evidence = nil
}

// replay is what to say after "stress run" for the same decisions once more.
func (o *options) replay(p *scenario.Plan) string {
	s := o.settings(p, nil)
	text := fmt.Sprintf("%s -procs %d -goroutines %d -duration %v -kill %v", p.Name, s.Shape.Procs, s.Shape.Lanes, s.Duration, o.kill)
	if o.stop > 0 {
		text += fmt.Sprintf(" -stop %v", o.stop)
	}
	if o.points {
		text += " -points"
	}
	if o.chaos != "off" {
		text += " -chaos " + o.chaos
	}
	if o.history > 0 {
		text += fmt.Sprintf(" -history %d", o.history)
	}
	if o.hang != defaultHang {
		text += fmt.Sprintf(" -hang %v", o.hang)
	}
	for _, t := range o.thresholds {
		text += fmt.Sprintf(" -threshold '%s'", t)
	}
	return text + fmt.Sprintf(" -seed %#x", o.seed)
}
