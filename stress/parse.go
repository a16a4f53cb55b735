package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"interlock/stress/internal/report"
)

// parse parses what a command was called with: flags and names in any order. Where ok is
// false the command is to end with code; Pass means that somebody asked for help.
func parse(set *flag.FlagSet, args []string, errs io.Writer) (names []string, code report.Code, ok bool) {
	set.Usage = func() {} // the error is enough; the whole list of flags would bury it
	names, err := parseMixed(set, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return nil, report.Pass, false
	case err != nil:
		fmt.Fprintln(errs, "Try: stress help")
		return nil, report.Usage, false
	}
	return names, report.Pass, true
}

// instead ends a command that has nothing to do, as parse has it.
func instead(command string, code report.Code, out io.Writer) report.Code {
	if code == report.Pass {
		usageOf(command, out)
	}
	return code
}

// parseMixed parses flags and names in any order: package flag stops at the
// first name, so it is started again behind it.
func parseMixed(set *flag.FlagSet, args []string) (names []string, err error) {
	for rest := args; len(rest) > 0; {
		if err := set.Parse(rest); err != nil {
			return nil, err
		}
		if rest = set.Args(); len(rest) > 0 {
			names, rest = append(names, rest[0]), rest[1:]
		}
	}
	return names, nil
}

// untilSignal ends when somebody wants the command to end. What it has found until then
// is still reported.
func untilSignal() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
}
