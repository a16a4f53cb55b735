package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"time"

	"interlock/stress/internal/bench/work"
	"interlock/stress/internal/leftover"
	"interlock/stress/internal/report"
)

// A Result is the whole table, and how it was made.
type Result struct {
	Host    Host          `json:"host"`
	Config  Config        `json:"config"`
	Elapsed time.Duration `json:"elapsed_ns"`
	Load    Load          `json:"load"`
	Code    report.Code   `json:"code"`
	Problem string        `json:"problem,omitempty"` // why it ended early
	Rows    []*Row        `json:"rows"`
}

// Watch is told of what happens while it happens; any of it may be nil.
type Watch struct {
	Begin func(line, about string)
	Row   func(*Row)
}

// Check returns an UnknownLine if one of the names is no line.
func Check(names []string) error {
	_, err := match(names)
	return err
}

// Run makes the table of the lines with these names, all if there are none.
func Run(ctx context.Context, names []string, c Config, w Watch) *Result {
	// The kernel ends a worker when the thread that forked it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	res := &Result{Host: ThisHost(), Config: c}
	chosen, err := match(names)
	if err != nil {
		res.end(err)
		return res
	}
	dir, err := leftover.MakeDir(leftover.Bench)
	if err != nil {
		res.end(err)
		return res
	}
	defer os.RemoveAll(dir)
	tools := newTools(ctx, dir)
	begin, whole := time.Now(), startMeter()
	for _, l := range chosen {
		if err = ctx.Err(); err != nil {
			break
		}
		if w.Begin != nil {
			w.Begin(l.name, l.about)
		}
		if err = runLine(ctx, l, c, dir, tools, res, w); err != nil {
			break
		}
	}
	res.Elapsed, res.Load = time.Since(begin), whole.read()
	res.end(err)
	return res
}

// runLine runs one comparison. Its rows are reported when all of its processes are
// gone: only then it is known whether somebody else was busy.
func runLine(ctx context.Context, l line, c Config, dir string, t *tools, res *Result, w Watch) error {
	var rows []*Row
	r := &Rig{Config: c, ctx: ctx, line: l.name, dir: dir, tools: t, emit: func(row *Row) { rows = append(rows, row) }}
	meter := startMeter()
	err := l.run(r)
	r.dismiss()
	var skipped skip
	if errors.As(err, &skipped) {
		rows, err = append(rows, &Row{Line: l.name, Skipped: skipped.why}), nil
	}
	if ctx.Err() != nil { // that is why there was no compiler, if there was none
		rows, err = slices.DeleteFunc(rows, func(r *Row) bool { return r.Skipped != "" }), ctx.Err()
	}
	load := meter.read()
	for _, row := range rows {
		row.Busy = !load.Calm()
		res.Rows = append(res.Rows, row)
		if w.Row != nil {
			w.Row(row)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	return nil
}

// end says what came of it all. What was measured until then stays.
func (res *Result) end(err error) {
	for _, row := range res.Rows {
		if met, ok := row.Met(); ok && !met {
			res.Code = report.Late
		}
	}
	if err == nil {
		return
	}
	res.Problem = err.Error()
	code := report.Setup
	switch {
	case errors.Is(err, context.Canceled):
		res.Problem, code = "interrupted before its end", report.Interrupted
	case errors.Is(err, errHang):
		code = report.Hang
	case errors.Is(err, errDied):
		code = report.Died
	case errors.Is(err, work.ErrBroke):
		code = report.Broke
	}
	res.Code = report.Worse(res.Code, code)
}
