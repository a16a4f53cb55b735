package selftest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"interlock/stress/internal/leftover"
	"interlock/stress/internal/rebuild"
	"interlock/stress/internal/report"
)

// runLimit is for a mutant that hangs the harness itself.
const runLimit = time.Minute

// Select returns the mutants of these names, or all if there are none.
func Select(names []string) ([]Mutant, error) { return SelectFrom(Mutants(), names) }

// SelectFrom is Select from other mutants.
func SelectFrom(all []Mutant, names []string) ([]Mutant, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []Mutant
	for _, name := range names {
		i := slices.IndexFunc(all, func(m Mutant) bool { return m.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no mutant %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// workplace is where mutants are built.
type workplace struct{ *rebuild.Workplace }

func newWorkplace(ctx context.Context) (*workplace, error) {
	w, err := rebuild.NewWorkplace(ctx, leftover.Selftest)
	return &workplace{w}, err
}

// build builds stress with the library of a mutant.
func (w *workplace) build(ctx context.Context, m Mutant) (binary string, err error) {
	overlay, err := writeOverlay(m, w.Root, w.Dir)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(w.Dir, m.Name, "stress")
	if err := rebuild.Build(ctx, w.Root, binary, "-overlay", overlay); err != nil {
		return "", fmt.Errorf("mutant %s does not build: %w", m.Name, err)
	}
	return binary, nil
}

// Run builds and runs the mutants. It passes if the sound library passes every
// run, and every mutant is caught.
func Run(ctx context.Context, mutants []Mutant, out io.Writer) report.Code {
	runtime.LockOSThread() // PDEATHSIG of the children: see rebuild.Command
	defer runtime.UnlockOSThread()
	begin := time.Now()
	code, unseen, err := run(ctx, mutants, out)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(out, "interrupted")
		return report.Interrupted
	case err != nil:
		fmt.Fprintf(out, "stress selftest: %v\n", err)
		return report.Setup
	}
	word := "every mutant was caught, and the sound library passed"
	switch {
	case code != report.Pass:
		word = "FAILED"
	case unseen:
		word = "every mutant that can show here was caught, and the sound library passed"
	}
	fmt.Fprintf(out, "%d mutants, %.0fs: %s\n", len(mutants), time.Since(begin).Seconds(), word)
	return code
}

// run also reports whether there was one that cannot show here.
func run(ctx context.Context, mutants []Mutant, out io.Writer) (code report.Code, unseen bool, err error) {
	w, err := newWorkplace(ctx)
	if err != nil {
		return report.Setup, false, err
	}
	defer w.Close()
	// Before anything is built: does every mutant still fit the source?
	for _, m := range mutants {
		if _, err := writeOverlay(m, w.Root, w.Dir); err != nil {
			return report.Setup, false, err
		}
	}
	code, err = control(ctx, w, mutants, out)
	if err != nil || code != report.Pass {
		return code, false, err
	}
	for _, m := range mutants {
		binary, err := w.build(ctx, m)
		if err != nil {
			return report.Setup, false, err
		}
		for _, run := range m.runs() {
			word, err := try(ctx, m, run, binary, w.Dir, out)
			if err != nil || ctx.Err() != nil {
				return report.Setup, false, err
			}
			unseen = unseen || word == "UNSEEN"
			if word == "MISSED" {
				code = report.Broke
			}
		}
		os.Remove(binary)
	}
	return code, unseen, nil
}

// runs are what a mutant is to be caught by.
func (m Mutant) runs() [][]string {
	runs := [][]string{m.Run}
	if len(m.Also) > 0 {
		runs = append(runs, m.Also)
	}
	if len(m.Everywhere) > 0 {
		runs = append(runs, append([]string{everywhere}, m.Everywhere...))
	}
	return runs
}

// try says CAUGHT or MISSED, or UNSEEN of what cannot show here.
func try(ctx context.Context, m Mutant, run []string, binary, dir string, out io.Writer) (word string, err error) {
	o := hunt(ctx, m, run, binary, dir)
	if o.err != nil || ctx.Err() != nil {
		return "", o.err
	}
	word = "CAUGHT"
	switch {
	case o.caught():
	case o.unfit:
		word = "UNSEEN"
	case runtime.NumCPU() < m.CPUs:
		word, o.why = "UNSEEN", fmt.Sprintf("it needs %d CPUs to show", m.CPUs)
	default:
		word = "MISSED"
	}
	fmt.Fprintf(out, "%s %-27s by %-11s after %5.2fs  %s\n", word, m.Name, run[0], o.after.Seconds(), o.why)
	if !o.caught() {
		fmt.Fprintf(out, "       %s\n", m.Bug)
	}
	return word, nil
}

// hunt runs a mutant until it is caught, several times if need be: whether two meet in
// a window is by chance, more so on a machine that is busy.
func hunt(ctx context.Context, m Mutant, run []string, binary, dir string) (o outcome) {
	const runs = 5
	for range runs {
		o = execute(ctx, binary, dir, run)
		if o.caught() || o.unfit || o.err != nil || ctx.Err() != nil || runtime.NumCPU() < m.CPUs {
			break
		}
	}
	return o
}

// control runs the sound library through every run that the mutants need: a
// harness that cries wolf catches everything. A missed threshold catches nothing,
// so there it is no failure either.
func control(ctx context.Context, w *workplace, mutants []Mutant, out io.Writer) (report.Code, error) {
	binary := filepath.Join(w.Dir, "stress")
	if err := rebuild.Build(ctx, w.Root, binary); err != nil {
		return report.Setup, err
	}
	defer os.Remove(binary)
	code := report.Pass
	seen := map[string]bool{}
	var runs [][]string
	for _, m := range mutants {
		runs = append(runs, m.runs()...)
	}
	for _, run := range runs {
		key := strings.Join(run, " ")
		if seen[key] {
			continue
		}
		seen[key] = true
		o := execute(ctx, binary, w.Dir, run)
		if o.err != nil || ctx.Err() != nil {
			return report.Setup, o.err
		}
		word := "SOUND "
		if o.unfit {
			word = "UNSEEN"
		}
		if o.code != report.Pass && o.code != report.Late && !o.unfit {
			word, code = "FAILED", report.Worse(code, o.code)
		}
		fmt.Fprintf(out, "%s %-27s by %-11s after %5.2fs  %s\n", word, "the library as it is", run[0], o.after.Seconds(), o.why)
	}
	return code, nil
}

// outcome is what a run said.
type outcome struct {
	code  report.Code
	after time.Duration
	unfit bool // this machine lacks something for it, as why says
	why   string
	err   error // it could not be run at all
}

// Play builds one mutant and runs it with args, as somebody would by hand. The code is
// what it ended with.
func Play(ctx context.Context, name string, args []string, out, errs io.Writer) (report.Code, error) {
	runtime.LockOSThread() // PDEATHSIG of the child: see rebuild.Command
	defer runtime.UnlockOSThread()
	mutants, err := Select([]string{name})
	if err != nil {
		return report.Usage, err
	}
	w, err := newWorkplace(ctx)
	if err != nil {
		return report.Setup, err
	}
	defer w.Close()
	binary, err := w.build(ctx, mutants[0])
	if err != nil {
		return report.Setup, err
	}
	cmd := rebuild.Command(ctx, w.Dir, binary, args...)
	cmd.Stdout, cmd.Stderr = out, errs
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return report.Code(exit.ExitCode()), nil
	}
	return report.Pass, err
}

// caught: only a verdict about the library counts, no missed threshold and no
// trouble with the machine.
func (o outcome) caught() bool {
	return o.code == report.Broke || o.code == report.Hang || o.code == report.Died
}

// everywhere is the first word of a run by stress everywhere; the others are by stress run.
const everywhere = "everywhere"

// killEverywhere runs stress everywhere, which has no JSON. Why it failed is in the first
// line that tells of a kill; if there is none, the last line sums up.
func killEverywhere(ctx context.Context, binary, dir string, args []string) outcome {
	begin := time.Now()
	cmd := rebuild.Command(ctx, dir, binary, args...)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{err: err}
	}
	o := outcome{code: report.Code(cmd.ProcessState.ExitCode()), after: time.Since(begin)}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if o.why = strings.TrimSpace(line); strings.HasPrefix(line, "  killed") {
			break
		}
	}
	o.why, o.unfit = fmt.Sprintf("%v: %s", o.code, o.why), o.code == report.Setup
	return o
}

// execute runs stress.
func execute(ctx context.Context, binary, dir string, args []string) outcome {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	if args[0] == everywhere {
		return killEverywhere(ctx, binary, dir, args)
	}
	file := filepath.Join(dir, "result.json")
	os.Remove(file)
	cmd := rebuild.Command(ctx, dir, binary, append([]string{"run", "-json", file}, args...)...)
	// What a hang leaves for people to read goes with our directory.
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{err: err}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return outcome{err: fmt.Errorf("stress run %s left no result: %s", strings.Join(args, " "), text)}
	}
	var doc report.Document
	if err := json.Unmarshal(raw, &doc); err == nil && len(doc.Results) == 0 && doc.Code == report.Setup { // SKIP
		return outcome{code: doc.Code, unfit: true, why: firstLine(string(text))}
	} else if err != nil || len(doc.Results) == 0 {
		return outcome{err: fmt.Errorf("stress run %s: unreadable result: %v", strings.Join(args, " "), err)}
	}
	r := doc.Results[0]
	o := outcome{code: doc.Code, after: r.Elapsed, why: r.Verdict}
	if len(r.Problems) > 0 {
		first, _, _ := strings.Cut(r.Problems[0], "\n")
		o.why += ": " + first
	}
	return o
}
