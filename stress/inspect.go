package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/inspect"
	"interlock/stress/internal/report"
)

// inspectOptions are the flags of inspect.
type inspectOptions struct {
	what     []string
	pid      int
	types    []inspect.Place
	json     bool
	watch    bool
	every    time.Duration
	values   bool
	all      bool
	long     time.Duration
	typeText string
}

// leastEvery keeps -watch from being the machine's main occupation.
const leastEvery = 50 * time.Millisecond

func newInspectFlags(errs io.Writer) (*flag.FlagSet, *inspectOptions) {
	o := &inspectOptions{}
	set := flag.NewFlagSet("stress inspect", flag.ContinueOnError)
	set.SetOutput(errs)
	set.IntVar(&o.pid, "pid", 0, "everything shared that this `process` maps; offsets of -type are then its addresses")
	set.StringVar(&o.typeText, "type", "", "what lies where in raw memory, `KIND@OFFSET,…`: mutex@0x40, mutex[1000]/64@0x100, seqlock(24)@0;\nkinds mutex, semaphore, cond, seqlock, doublebuffer")
	set.BoolVar(&o.json, "json", false, "JSON on standard output; with -watch a line for each look")
	set.BoolVar(&o.watch, "watch", false, "look again and again, until Ctrl-C")
	set.DurationVar(&o.every, "every", time.Second, "`time` between two looks of -watch")
	set.BoolVar(&o.values, "values", false, "small plain fields too")
	set.BoolVar(&o.all, "all", false, "every primitive of a table, also those that nothing is to be told of")
	set.DurationVar(&o.long, "long", 10*time.Second, "a mutex for which a thread has slept so long is a finding; 0: never")
	return set, o
}

func parseInspect(args []string, errs io.Writer) (*inspectOptions, report.Code) {
	set, o := newInspectFlags(errs)
	names, code, ok := parse(set, args, errs)
	if !ok {
		return nil, code
	}
	o.what = names
	if err := o.check(); err != nil {
		fmt.Fprintf(errs, "stress inspect: %v\n", err)
		return nil, report.Usage
	}
	return o, report.Pass
}

func (o *inspectOptions) check() (err error) {
	if o.typeText != "" {
		o.types, err = inspect.ParseTypes(o.typeText)
	}
	switch {
	case err != nil:
		return fmt.Errorf("-type: %w", err)
	case o.pid < 0:
		return fmt.Errorf("-pid %d: no process has that number", o.pid)
	case o.pid > 0 && len(o.what) > 0:
		return fmt.Errorf("either -pid or names, not both")
	case o.every < leastEvery:
		return fmt.Errorf("-every %v: at least %v", o.every, leastEvery)
	case o.long < 0:
		return fmt.Errorf("-long %v: it cannot be negative", o.long)
	case len(o.types) > 0 && o.pid == 0 && len(o.what) != 1:
		return fmt.Errorf("-type says where in one object: name one")
	}
	return nil
}

func cmdInspect(args []string, out, errs io.Writer) report.Code {
	o, code := parseInspect(args, errs)
	if o == nil {
		return instead("inspect", code, out)
	}
	ctx, stop := untilSignal()
	defer stop()
	if o.watch {
		return o.keepLooking(ctx, out, errs)
	}
	scene, err := o.look(ctx, func(subjects []*inspect.Subject) (*inspect.Scene, error) {
		return inspect.Inspect(ctx, subjects, o.options())
	})
	if ctx.Err() != nil {
		return report.Interrupted
	}
	if err != nil {
		fmt.Fprintf(errs, "stress inspect: %v\n", err)
		return report.Setup
	}
	if err := o.print(out, scene); err != nil {
		fmt.Fprintf(errs, "stress inspect: %v\n", err)
		return report.Setup
	}
	return inspect.Code(scene)
}

func (o *inspectOptions) options() inspect.Options {
	return inspect.Options{All: o.all, Long: o.long}
}

// look opens what is asked for, anew each time: a name may be removed and made again
// between two looks.
func (o *inspectOptions) look(ctx context.Context, f func([]*inspect.Subject) (*inspect.Scene, error)) (*inspect.Scene, error) {
	sources, types, err := o.open()
	if err != nil {
		return nil, err
	}
	defer inspect.CloseAll(sources)
	var subjects []*inspect.Subject
	for _, s := range sources {
		if o.pid > 0 && len(o.types) > 0 && len(types[s]) == 0 {
			continue
		}
		sub, err := inspect.Study(s, types[s], o.values)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, sub)
	}
	return f(subjects)
}

// open returns the objects, and what -type says of each.
func (o *inspectOptions) open() (list []*inspect.Source, types map[*inspect.Source][]inspect.Place, err error) {
	types = map[*inspect.Source][]inspect.Place{}
	switch {
	case o.pid > 0:
		if list, err = inspect.OfProcess(o.pid); err == nil && len(list) == 0 {
			err = fmt.Errorf("process %d shares no memory that can be looked at", o.pid)
		}
		if err == nil && len(o.types) > 0 {
			types, err = inspect.AtAddresses(o.pid, o.types, list)
		}
	case len(o.what) == 0:
		list, err = inspect.Everything()
	default:
		for _, what := range o.what {
			s, err := inspect.Open(what)
			if err != nil {
				inspect.CloseAll(list)
				return nil, nil, err
			}
			list = append(list, s)
			types[s] = o.types
		}
	}
	if err != nil {
		inspect.CloseAll(list)
		return nil, nil, err
	}
	return list, types, nil
}

// print writes a scene as text or as JSON.
func (o *inspectOptions) print(out io.Writer, scene *inspect.Scene) error {
	if !o.json {
		inspect.Write(out, scene, o.all)
		return nil
	}
	e := json.NewEncoder(out)
	if !o.watch {
		e.SetIndent("", "  ")
	}
	return e.Encode(inspect.NewDocument(scene))
}

// keepLooking is -watch. On a terminal it draws anew; elsewhere each look is printed
// below the other, if anything but the time has changed in it.
func (o *inspectOptions) keepLooking(ctx context.Context, out, errs io.Writer) report.Code {
	redraw := !o.json && isTerminal(out)
	watch := inspect.NewWatch()
	last := ""
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	for {
		scene, err := o.look(ctx, func(subjects []*inspect.Subject) (*inspect.Scene, error) { return inspect.Look(subjects, o.options()) })
		if err != nil {
			fmt.Fprintf(errs, "stress inspect: %v\n", err)
			return report.Setup
		}
		watch.See(scene)
		if now := scene.Essence(); redraw || o.json || now != last {
			last = now
			if redraw {
				fmt.Fprint(out, "\x1b[H\x1b[2J")
			}
			if !o.json {
				fmt.Fprintf(out, "%s  every %v, Ctrl-C ends\n", time.Now().Format("15:04:05"), o.every)
			}
			if err := o.print(out, scene); err != nil {
				fmt.Fprintf(errs, "stress inspect: %v\n", err)
				return report.Setup
			}
		}
		select {
		case <-ctx.Done():
			return report.Interrupted
		case <-tick.C:
		}
	}
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
