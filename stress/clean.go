package main

import (
	"fmt"
	"io"

	"interlock/stress/internal/bench"
	"interlock/stress/internal/leftover"
	"interlock/stress/internal/report"
)

func cmdClean(args []string, out, errs io.Writer) report.Code {
	if len(args) > 0 {
		fmt.Fprintf(errs, "stress clean: takes no arguments, not %q\n", args[0])
		return report.Usage
	}
	paths, err := leftover.Abandoned()
	if err != nil {
		fmt.Fprintf(errs, "stress clean: %v\n", err)
		return report.Setup
	}
	if len(paths) == 0 {
		fmt.Fprintln(out, "nothing of stress to remove")
		return report.Pass
	}
	for _, path := range paths {
		bench.Reclaim(path)
		if err := leftover.Remove([]string{path}); err != nil {
			fmt.Fprintf(errs, "stress clean: %v\n", err)
			return report.Setup
		}
		fmt.Fprintln(out, "removed", path)
	}
	return report.Pass
}
