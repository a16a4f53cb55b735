package main

import (
	"context"
	"fmt"
	"io"

	"interlock/internal/mark"
	"interlock/stress/internal/rebuild"
	"interlock/stress/internal/report"
)

// marks sees to it that this program has the library's marks, if the run needs them, and
// returns their names. If it has not, it is built anew and started in place of this one.
func (o *options) marks(ctx context.Context, errs io.Writer) (names []string, code report.Code) {
	if !o.points && o.chaos == "off" {
		return nil, report.Pass
	}
	root, err := rebuild.FindModule(ctx)
	if err == nil && !mark.Enabled {
		fmt.Fprintln(errs, "stress run: building stress with the library's marks")
		err = rebuild.Marked(ctx, root)
	}
	if err == nil {
		names, err = rebuild.Points(root)
	}
	switch {
	case ctx.Err() != nil:
		return nil, report.Interrupted
	case err != nil:
		fmt.Fprintf(errs, "stress run: -points and -chaos need the library with its marks: %v\n", err)
		return nil, report.Setup
	}
	return names, report.Pass
}

// judgeCoverage prints which points were hit. A run of everything has to hit all: that is
// a demand on the run, like a threshold, and so is the exit code; it does not say that
// anything in the library is broken.
func (o *options) judgeCoverage(marks []string, results []*report.Result, lines io.Writer) report.Code {
	if !o.points {
		return report.Pass
	}
	if !o.all {
		marks = nil // those that others come by are no concern of these scenarios
	}
	missed := report.WriteCoverage(lines, report.Coverage(marks, results))
	for _, name := range missed {
		fmt.Fprintf(lines, "  nobody was killed at %q\n", name)
	}
	if o.all && len(missed) > 0 {
		return report.Late
	}
	return report.Pass
}
