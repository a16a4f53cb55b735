package schedule

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"interlock/stress/internal/leftover"
	"interlock/stress/internal/rebuild"
	"interlock/stress/internal/report"
	"interlock/stress/internal/schedule/explore"
	"interlock/stress/internal/selftest"
)

// workplace is where programs are generated and built.
type workplace struct{ *rebuild.Workplace }

func newWorkplace(ctx context.Context) (*workplace, error) {
	w, err := rebuild.NewWorkplace(ctx, leftover.Schedules)
	return &workplace{w}, err
}

// build builds the program for a mutant, or for the source as it is.
func (w *workplace) build(ctx context.Context, m selftest.Mutant, processes int) (string, error) {
	dir := filepath.Join(w.Dir, m.Name)
	overlay, err := generate(m, w.Root, dir, processes)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "schedules")
	return binary, rebuild.GoBuild(ctx, w.Root, binary, nil, "-overlay", overlay, "./stress/internal/schedule/gen")
}

// Run searches the schedules of the source, or of a mutant of it, as args ask, which are
// flags of package explore.
func Run(ctx context.Context, o *explore.Options, args []string, out, errs io.Writer) report.Code {
	runtime.LockOSThread() // PDEATHSIG of the child: see rebuild.Command
	defer runtime.UnlockOSThread()
	m, err := find(o.Mutant)
	if err != nil {
		fmt.Fprintf(errs, "stress schedules: %v\n", err)
		return report.Usage
	}
	code, err := run(ctx, m, o, args, out, errs)
	if ctx.Err() != nil {
		fmt.Fprintln(out, "interrupted")
		return report.Interrupted
	}
	if err != nil {
		fmt.Fprintf(errs, "stress schedules: %v\n", err)
		return report.Setup
	}
	return code
}

func run(ctx context.Context, m selftest.Mutant, o *explore.Options, args []string, out, errs io.Writer) (report.Code, error) {
	w, err := newWorkplace(ctx)
	if err != nil {
		return report.Setup, err
	}
	defer w.Close()
	binary, err := w.build(ctx, m, o.Needs())
	if err != nil {
		return report.Setup, err
	}
	cmd := rebuild.Command(ctx, w.Dir, binary, args...)
	cmd.Stdout, cmd.Stderr = out, errs
	err = cmd.Run()
	switch cmd.ProcessState.ExitCode() {
	case 0:
		return report.Pass, nil
	case 1:
		return report.Broke, nil
	}
	return report.Setup, err
}

// find is the mutant of a name, or, for none, the source as it is.
func find(name string) (selftest.Mutant, error) {
	all := Mutants()
	i := slices.IndexFunc(all, func(m selftest.Mutant) bool { return m.Name == name })
	if i < 0 && name != "" {
		return selftest.Mutant{}, fmt.Errorf("no mutant %q", name)
	}
	if i < 0 {
		return selftest.Mutant{}, nil
	}
	return all[i], nil
}

// Hunt builds each mutant and searches until a schedule fails, for limit at most. Each
// must be caught, but those that cannot show here. The mutant without a name is the
// source as it is, which must pass.
func Hunt(ctx context.Context, mutants []selftest.Mutant, limit time.Duration, out, errs io.Writer) report.Code {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	code, err := hunt(ctx, mutants, limit, out)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(out, "interrupted")
		return report.Interrupted
	case err != nil:
		fmt.Fprintf(errs, "stress schedules: %v\n", err)
		return report.Setup
	}
	return code
}

func hunt(ctx context.Context, mutants []selftest.Mutant, limit time.Duration, out io.Writer) (report.Code, error) {
	w, err := newWorkplace(ctx)
	if err != nil {
		return report.Setup, err
	}
	defer w.Close()
	code := report.Pass
	for _, m := range mutants {
		if why := unseen[m.Name]; why != "" {
			fmt.Fprintf(out, "UNSEEN %-27s %s\n", m.Name, why)
			continue
		}
		r, err := w.hunt(ctx, m, limit)
		if err != nil {
			return report.Setup, err
		}
		if !verdict(m, r, out) {
			code = report.Broke
		}
	}
	return code, nil
}

// verdict prints what became of a mutant, or of the sound library, and whether that is
// as it should be.
func verdict(m selftest.Mutant, r *explore.Report, out io.Writer) bool {
	name, sound := m.Name, m.Name == ""
	if sound {
		name = "the library as it is"
	}
	if r.Failure == "" {
		word := "MISSED"
		if sound {
			word = "SOUND "
		}
		fmt.Fprintf(out, "%s %-27s %8d schedules, %5.2fs\n", word, name, r.Schedules, r.Seconds)
		return sound
	}
	word := "CAUGHT"
	if sound {
		word = "FAILED"
	}
	fmt.Fprintf(out, "%s %-27s %8d schedules, %5.2fs  -scenario %s -schedule %s\n       %s\n",
		word, name, r.Schedules, r.Seconds, r.Scenario, r.Schedule, r.Failure)
	return !sound
}

func (w *workplace) hunt(ctx context.Context, m selftest.Mutant, limit time.Duration) (*explore.Report, error) {
	o := &explore.Options{}
	binary, err := w.build(ctx, m, o.Needs())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	defer os.Remove(binary)
	cmd := rebuild.Command(ctx, w.Dir, binary, "-hunt", "-near", near(m), "-for", limit.String())
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	r := &explore.Report{}
	return r, json.Unmarshal(text, r)
}

// near is the package whose source the mutant changes.
func near(m selftest.Mutant) string {
	if len(m.Edits) == 0 {
		return ""
	}
	return filepath.Dir(m.Edits[0].File)
}
