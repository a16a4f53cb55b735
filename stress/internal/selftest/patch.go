package selftest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"interlock/stress/internal/rebuild"
	"interlock/stress/internal/report"
)

// patchTime is how long each scenario has to catch a patch.
const patchTime = "3s"

// TryPatch builds the library with a patch of the user's and runs the scenarios: is it
// caught, by what, how soon? Code 1: it is not; 2: it cannot be tried, as the error says.
func TryPatch(ctx context.Context, text string, scenarios []string, out io.Writer) (report.Code, error) {
	runtime.LockOSThread() // PDEATHSIG of the children: see rebuild.Command
	defer runtime.UnlockOSThread()
	p, err := parsePatch(text)
	if err != nil {
		return report.Usage, err
	}
	w, err := newWorkplace(ctx)
	if err != nil {
		return report.Setup, err
	}
	defer w.Close()
	binary, code, err := w.buildPatched(ctx, p)
	if err != nil {
		return code, err
	}
	return w.judge(ctx, binary, scenarios, out)
}

// buildPatched builds stress with the patch laid over the source.
func (w *workplace) buildPatched(ctx context.Context, p patch) (binary string, code report.Code, err error) {
	changed, err := p.apply(func(file string) (string, error) {
		text, err := os.ReadFile(filepath.Join(w.Root, filepath.FromSlash(file)))
		return string(text), err
	})
	if err != nil {
		return "", report.Usage, fmt.Errorf("the patch does not apply: %w", err)
	}
	overlay, err := writeFiles(changed, "patch", w.Root, w.Dir)
	if err != nil {
		return "", report.Setup, err
	}
	binary = filepath.Join(w.Dir, "patch", "stress")
	if err := rebuild.Build(ctx, w.Root, binary, "-overlay", overlay); err != nil {
		if ctx.Err() != nil {
			return "", report.Interrupted, ctx.Err()
		}
		return "", report.Usage, fmt.Errorf("the patch does not compile: %w", err)
	}
	return binary, report.Pass, nil
}

// judge runs every scenario. One that fails is run with the library as it is, too: if it
// fails there as well it says nothing about the patch.
func (w *workplace) judge(ctx context.Context, binary string, scenarios []string, out io.Writer) (report.Code, error) {
	sound, begin := "", time.Now()
	var caught []string
	for _, name := range scenarios {
		run := []string{name, "-duration", patchTime, "-hang", "2s"}
		o := execute(ctx, binary, w.Dir, run)
		if ctx.Err() != nil {
			return report.Interrupted, nil
		}
		if o.unfit {
			o.err = errors.New(o.why)
		}
		if o.err != nil {
			fmt.Fprintf(out, "UNSEEN by %-11s %s\n", name, firstLine(o.err.Error()))
			continue
		}
		word := "passes"
		if o.caught() {
			if sound == "" {
				sound = filepath.Join(w.Dir, "stress")
				if err := rebuild.Build(ctx, w.Root, sound); err != nil {
					return report.Setup, err
				}
			}
			word = "CAUGHT"
			if control := execute(ctx, sound, w.Dir, run); control.caught() {
				word, o.why = "UNSURE", "the library as it is fails, too: "+control.why
			}
		}
		if word == "CAUGHT" {
			caught = append(caught, fmt.Sprintf("%s after %.2fs", name, o.after.Seconds()))
		}
		fmt.Fprintf(out, "%s by %-11s after %5.2fs  %s\n", word, name, o.after.Seconds(), o.why)
	}
	if len(caught) == 0 {
		fmt.Fprintf(out, "NOT caught: %d scenarios, %.0fs\n", len(scenarios), time.Since(begin).Seconds())
		return report.Broke, nil
	}
	fmt.Fprintf(out, "caught by %s\n", strings.Join(caught, ", "))
	return report.Pass, nil
}

func firstLine(text string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return first
}
