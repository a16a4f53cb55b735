package trial

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"interlock/stress/internal/leftover"
	"interlock/stress/internal/report"
)

// Main is a whole program that tries locks: it parses the flags -procs, -goroutines,
// -duration, -kill, -hang, -seed and the names of the locks to try (none: all), prints a
// verdict for each with its latencies, and exits with a code as the stress command does.
// A run that fails leaves a folder with what there is to know, and says where. Main does
// not return.
func Main(locks ...Lock) {
	Work(locks...)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := command(ctx, locks, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(int(code))
}

// command is Main without the process around it.
func command(ctx context.Context, locks []Lock, args []string, out, errs io.Writer) report.Code {
	o, chosen, err := parse(locks, args, errs)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return report.Pass
	case err != nil:
		fmt.Fprintln(errs, err)
		return report.Usage
	}
	code := report.Pass
	var all []*report.Result
	for _, l := range chosen {
		if ctx.Err() != nil {
			return report.Interrupted
		}
		r, err := Run(ctx, l, o)
		if err != nil {
			fmt.Fprintln(errs, err)
			return report.Usage
		}
		all = append(all, r.full)
		code = report.Worse(code, r.full.Code)
		tell(r.full, out)
		if r.full.Code.Fails() {
			leave(r.full, args, again(r.full, o), out)
		}
	}
	report.Latencies(out, all)
	return code
}

// tell prints the verdict, and what is wrong.
func tell(r *report.Result, out io.Writer) {
	fmt.Fprintln(out, report.Line(r))
	for _, p := range r.Problems {
		fmt.Fprintln(out, "  "+strings.ReplaceAll(p, "\n", "\n  "))
	}
}

// again is the arguments with which a lock is tried once more.
func again(r *report.Result, o Options) string {
	return fmt.Sprintf("-procs %d -goroutines %d -duration %v -kill %v -hang %v -seed %#x %s",
		r.Procs, r.Goroutines, o.Duration, o.Kills, o.Hang, r.Seed, r.Name)
}

// called is how to call the program that was started by this path: what go run has built
// is gone when it ends.
func called(path string) string {
	info, ok := debug.ReadBuildInfo()
	if ok && strings.Contains(path, "/go-build") && strings.Contains(info.Path, "/") {
		return "go run " + info.Path
	}
	return path
}

// leave leaves a folder with the evidence.
func leave(r *report.Result, args []string, again string, out io.Writer) {
	again = called(args[0]) + " " + again
	dir, err := leftover.MakeDir(leftover.Failure)
	if err == nil {
		err = r.Leave(dir, again, report.NewDocument(r.Seed, args[1:], r.Code, []*report.Result{r}))
	}
	if err != nil {
		fmt.Fprintf(out, "  %s: no folder with the evidence: %v\n", r.Name, err)
	} else {
		fmt.Fprintf(out, "  %s: seed, schedule of kills, memory, goroutines: %s\n", r.Name, dir)
	}
	fmt.Fprintf(out, "  again: %s\n", again)
}

// parse understands flags and names.
func parse(locks []Lock, args []string, errs io.Writer) (o Options, chosen []Lock, err error) {
	set := flag.NewFlagSet(args[0], flag.ContinueOnError)
	set.SetOutput(errs)
	set.IntVar(&o.Procs, "procs", standard.Procs, "worker `processes`")
	set.IntVar(&o.Goroutines, "goroutines", standard.Goroutines, "`goroutines` in each of them")
	set.DurationVar(&o.Duration, "duration", standard.Duration, "`time` for each lock")
	set.Float64Var(&o.Kills, "kill", 0, "`kills` per second, on average; a lock that is not made for the death of its holder hangs then")
	set.DurationVar(&o.Hang, "hang", standard.Hang, "no progress for this `time` is a hang")
	set.Uint64Var(&o.Seed, "seed", 0, "`number` from which all random decisions follow; 0: a new one")
	set.Usage = func() {
		fmt.Fprintf(errs, "%s tries locks with real processes: %s [flags] [NAME…]\nLocks: %s\n", args[0], args[0], strings.Join(names(locks), ", "))
		set.PrintDefaults()
	}
	if err := set.Parse(args[1:]); err != nil {
		return o, nil, err
	}
	if set.NArg() == 0 {
		return o, locks, nil
	}
	for _, name := range set.Args() {
		i := slices.Index(names(locks), name)
		if i < 0 {
			return o, nil, fmt.Errorf("no lock %q; there are: %s (flags come first)", name, strings.Join(names(locks), ", "))
		}
		chosen = append(chosen, locks[i])
	}
	return o, chosen, nil
}

func names(locks []Lock) (list []string) {
	for _, l := range locks {
		list = append(list, l.Name)
	}
	return list
}
