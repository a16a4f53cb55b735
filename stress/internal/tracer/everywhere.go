package tracer

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"

	"interlock/stress/internal/leftover"
	"interlock/stress/internal/ptrace"
)

// Options say how much of it.
type Options struct {
	Every    int // of the places where to kill every how many-th; 1: all
	Victims  int // how many rounds at the same time
	Failures int // after so many a case is left
	Progress func(text string)
	Row      func(*Row) // each case that is done, in order
}

// Run runs the cases, and ends early when ctx does. An error says that nothing could be
// shown: errors.Is ptrace.ErrUnsupported or ptrace.ErrRefused, for instance.
func Run(ctx context.Context, cases []Case, o Options) error {
	if !ptrace.Supported {
		return ptrace.ErrUnsupported
	}
	defer removeSegments()
	ctx, cancel := context.WithCancel(ctx)
	next := make(chan int, len(cases))
	rows := make([]chan *Row, len(cases))
	for i := range cases {
		rows[i] = make(chan *Row, 1)
		next <- i
	}
	close(next)
	var engines sync.WaitGroup
	for range o.Victims {
		engines.Add(1)
		go func() {
			defer engines.Done()
			runtime.LockOSThread() // for good: a tracer is a thread, and so is a parent (PDEATHSIG)
			work(ctx, cases, o, next, rows)
		}()
	}
	defer engines.Wait()
	defer cancel()
	for i := range rows {
		r := <-rows[i]
		if r.Err != nil || ctx.Err() != nil {
			return r.Err
		}
		o.Row(r)
	}
	return nil
}

// work is one engine's. Every case that it takes gets a row.
func work(ctx context.Context, cases []Case, o Options, next <-chan int, rows []chan *Row) {
	e, err := newEngine()
	if err == nil {
		defer e.close()
	}
	for i := range next {
		if err != nil || ctx.Err() != nil {
			rows[i] <- &Row{Case: cases[i], Err: err}
			continue
		}
		if why := cases[i].Missing(); why != "" {
			rows[i] <- &Row{Case: cases[i], Skipped: why}
			continue
		}
		progress := func(done, all int) { o.Progress(progressText(cases[i], done, all)) }
		r := e.run(cases[i], o, progress, func() bool { return ctx.Err() != nil })
		err = r.Err
		rows[i] <- r
	}
}

// removeSegments takes away what failures may have left.
func removeSegments() {
	pid := os.Getpid()
	if paths, err := leftover.Segments(pid, leftover.StartTime(pid)); err == nil {
		_ = leftover.Remove(paths)
	}
}

// Probe reports whether a process can be traced here.
func Probe() error {
	if !ptrace.Supported {
		return ptrace.ErrUnsupported
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- probe()
	}()
	return <-done
}

func probe() error {
	e, err := newEngine()
	if err != nil {
		return err
	}
	defer e.close()
	o := e.play(&lockPlay, alone, goal{}, ptrace.Run, watch{})
	if errors.Is(o.err, errSetup) {
		return o.err
	}
	return nil
}
