// What holds for the fast paths as the compiler sees them:
//   - what stands in `inlined` costs no call: it fits the compiler's budget;
//   - what stands in `outlined` is a call of its own, so that the fast path it belongs
//     to stays small.
//
// The compiler is asked, with -m=2; the lists are the only place to keep up to date.
package lint

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// inlined are functions that must be inlined, by package.
var inlined = map[string][]string{
	"mutex": {
		"(*Mutex).addr", "(*Mutex).flagWaiters", "(*Mutex).grab", "(*Mutex).held", "(*Mutex).overtaken", "(*Mutex).snapshot",
	},
	"semaphore": {
		"(*Semaphore).addr", "(*Semaphore).futex", "(*Semaphore).take", "(*Semaphore).look", "(*Semaphore).Value",
	},
	"condvar":         {"(*Cond).addr", "(*Cond).Signal", "(*Cond).Wait"},
	"seqlock":         {"begin", "end"},
	"internal/proc":   {"Me", "TID", "PID", "Next", "Foreign", "Start"},
	"internal/park":   {"(*bucket).Listens", "BucketAt"},
	"internal/region": {"IsReadOnly"},
	"internal/race":   {"Acquire", "Release", "ReleaseMerge", "Hide", "Show"}, // nothing at all, without -race
	"internal/mark":   {"At"},                                                 // the same, without the tag marks
	"internal/fence":  {"Loads", "Stores"},
}

// outlined are functions that must not be inlined, by package.
var outlined = map[string][]string{
	"mutex":           {"(*Mutex).lock", "(*Mutex).lockSlow", "(*Mutex).tryLockSlow", "(*Mutex).unlockSlow", "(*Mutex).settle", "(*Mutex).inherit"},
	"semaphore":       {"(*Semaphore).acquireSlow", "(*Semaphore).overflow"},
	"condvar":         {"(*Cond).WaitContext"},
	"seqlock":         {"enter"},
	"internal/proc":   {"Link", "start"},
	"internal/region": {"lookup"},
}

// verdict matches what the compiler says of a function:
//
//	mutex/look.go:69:6: can inline (*Mutex).snapshot with cost 46 as: …
//	mutex/slow.go:102:6: cannot inline (*Mutex).enroll: function too complex: …
var verdict = regexp.MustCompile(`^([\w/]+)/\w+\.go:\d+:\d+: (can|cannot) inline (\S+?)(:| with cost)`)

// verdicts asks the compiler about packages: "can" or "cannot", by "package function".
func verdicts(t *testing.T, packages []string) map[string]string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("no compiler to ask: %v", err)
	}
	args := []string{"build", "-gcflags=-m=2"}
	for _, p := range packages {
		args = append(args, "./"+p)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = "../.."
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return parseVerdicts(string(out))
}

func parseVerdicts(out string) map[string]string {
	said := map[string]string{}
	for _, line := range strings.Split(out, "\n") {
		if m := verdict.FindStringSubmatch(line); m != nil {
			said[m[1]+" "+m[3]] = m[2]
		}
	}
	return said
}

// wrong compares a list with what the compiler said.
func wrong(list map[string][]string, said map[string]string, want string) (faults []string) {
	for p, functions := range list {
		for _, f := range functions {
			switch got := said[p+" "+f]; got {
			case want:
			case "":
				faults = append(faults, fmt.Sprintf("the compiler says nothing of %s in %s: does it exist?", f, p))
			default:
				faults = append(faults, fmt.Sprintf("the compiler %s inline %s in %s", got, f, p))
			}
		}
	}
	slices.Sort(faults)
	return faults
}

func TestFastPathsAreInlinedAndSlowOnesAreNot(t *testing.T) {
	var packages []string
	for _, list := range []map[string][]string{inlined, outlined} {
		for p := range list {
			packages = append(packages, p)
		}
	}
	slices.Sort(packages)
	said := verdicts(t, slices.Compact(packages))
	for _, fault := range append(wrong(inlined, said, "can"), wrong(outlined, said, "cannot")...) {
		t.Error(fault)
	}
}

func TestVerdictsAreUnderstood(t *testing.T) {
	said := parseVerdicts(`# interlock/mutex
mutex/look.go:69:6: can inline (*Mutex).snapshot with cost 46 as: method(*Mutex) func() snapshot { for loop }
mutex/slow.go:102:6: cannot inline (*Mutex).enroll: function too complex: cost 544 exceeds budget 80
mutex/mutex.go:80:13: inlining call to (*Mutex).lockSlow
internal/mark/off.go:9:6: can inline At with cost 0 as: func(string) {  }
internal/spin/pause_asm.go:16:6: cannot inline Pause: no function body
`)
	list := map[string][]string{"mutex": {"(*Mutex).snapshot", "(*Mutex).enroll", "gone"}, "internal/mark": {"At"}, "internal/spin": {"Pause"}}
	for want, faults := range map[string]int{"can": 3, "cannot": 3} {
		if got := wrong(list, said, want); len(got) != faults {
			t.Errorf("as a list of what it %s inline: %q", want, got)
		}
	}
}

// Generic methods are compiled where they are used. What they call there, beside what
// they are meant to call, shows in a program that uses them: seqlock/inline.go.
func TestGenericFastPathsCallNothingWhereTheyAreUsed(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("no compiler to ask: %v", err)
	}
	program := filepath.Join(t.TempDir(), "program")
	for _, cmd := range []*exec.Cmd{
		exec.Command("go", "build", "-o", program, "./stress"),
		exec.Command("go", "tool", "nm", program),
	} {
		cmd.Dir = "../.."
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
		}
		for _, f := range []string{"internal/layout.Known", "internal/race.Acquire", "internal/race.ReleaseMerge"} {
			if regexp.MustCompile(`(?m) interlock/` + regexp.QuoteMeta(f) + `$`).Match(out) {
				t.Errorf("%s is called by something in %s", f, cmd.Args)
			}
		}
	}
}
