package main

import (
	"fmt"
	"io"
	"strings"

	"interlock/stress/internal/report"
	"interlock/stress/internal/selftest"
)

func cmdSelftest(args []string, out, errs io.Writer) report.Code {
	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			fmt.Fprintf(errs, "stress selftest: no flag %s; usage: stress selftest [MUTANT…]\n", a)
			return report.Usage
		}
	}
	mutants, err := selftest.Select(args)
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
