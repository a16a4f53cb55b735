// What holds for docs/runbook.md: what it shows is what stress inspect prints when a
// fleet hangs so.
package examples

import (
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"interlock/shm"
)

// blocks are the outputs of inspect that the runbook shows, in order.
func blocks(t *testing.T) (list []string) {
	t.Helper()
	for _, part := range strings.Split(read(t, "../docs/runbook.md"), "```\n$ stress inspect fleet\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		list = append(list, block)
	}
	return list
}

var (
	spans   = regexp.MustCompile(`\b(\d+m)?\d+(\.\d+)?(ms|s)\b`)
	numbers = regexp.MustCompile(`0x[0-9a-f]+|\d+`)
	plurals = strings.NewReplacer("threads", "thread", "findings, each with", "finding, with")
)

// plain takes out what differs from one time to the next.
func plain(line string) string {
	return plurals.Replace(numbers.ReplaceAllString(spans.ReplaceAllString(line, "TIME"), "N"))
}

// missing are the lines of a block that an output does not have, whatever its numbers.
// The processes stand in no order, and asleep on a mutex is who has come so far.
func missing(block, output string) (lines []string) {
	sleepers := regexp.MustCompile("; asleep on it: .*")
	have := map[string]bool{}
	for line := range strings.Lines(output) {
		have[sleepers.ReplaceAllString(plain(line), "")] = true
	}
	for line := range strings.Lines(block) {
		l := sleepers.ReplaceAllString(plain(line), "")
		if !have[l] && !strings.Contains(line, "mapped by") {
			lines = append(lines, line)
		}
	}
	return lines
}

// inspectUntil looks until the output is the block's.
func inspectUntil(t *testing.T, stress, block string, between func()) {
	t.Helper()
	const long = "2s" // the runbook has the default, ten
	for limit := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		out, err := exec.Command(stress, "inspect", "-long", long, "fleet").CombinedOutput()
		var exit *exec.ExitError
		lines := missing(block, string(out))
		if errors.As(err, &exit) && exit.ExitCode() == 1 && len(lines) == 0 {
			return
		}
		if time.Now().After(limit) {
			t.Errorf("%v\n%s\nhas not\n%s", err, out, strings.Join(lines, ""))
			return
		}
		between()
	}
}

func TestTheRunbookShowsWhatInspectPrints(t *testing.T) {
	shown := blocks(t)
	if len(shown) != 4 {
		t.Fatalf("%d outputs in the runbook, and four ways to hang here", len(shown))
	}
	runtime.LockOSThread() // Pdeathsig means the death of the thread that started it
	without(t, "fleet")
	run := build(t, "fleet")
	stress := filepath.Join(t.TempDir(), "stress")
	if out, err := exec.Command("go", "build", "-o", stress, "../stress").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	start := func(args ...string) *exec.Cmd {
		c := run(args...)
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { end(c) })
		return c
	}
	nothing := func() {}

	one, two, three := start("-of", "2"), start("-of", "2"), start("-of", "2")
	stop := func() { // until it holds something
		_ = one.Process.Signal(syscall.SIGCONT)
		time.Sleep(20 * time.Millisecond)
		_ = one.Process.Signal(syscall.SIGSTOP)
	}
	inspectUntil(t, stress, shown[0], stop)
	end(two)
	end(three)
	end(one) // holding both
	inspectUntil(t, stress, shown[1], nothing)

	again := start("-of", "2")
	for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if out, err := exec.Command(stress, "inspect", "fleet").CombinedOutput(); err == nil {
			break
		} else if time.Since(begun) > time.Minute {
			t.Fatalf("the orphans are not mended: %s", out)
		}
	}
	end(again)
	_ = shm.Remove("fleet") // it may have been inside

	careless, other := start("-of", "4", "-careless"), start("-of", "4", "-careless")
	inspectUntil(t, stress, shown[2], nothing)
	end(careless)
	end(other)
	_ = shm.Remove("fleet")

	start("-of", "2", "-stuck")
	start("-of", "2")
	inspectUntil(t, stress, shown[3], nothing)
}

func end(c *exec.Cmd) {
	_ = c.Process.Kill()
	_ = c.Wait()
}
