// What holds for the example ownlock: each of its locks fails, or passes, as it says.
package examples

import (
	"os"
	"strings"
	"testing"
)

func TestOwnlock(t *testing.T) {
	run := build(t, "ownlock")
	for line, c := range map[string]struct {
		code int
		want []string
	}{
		"-duration 1s check-then-set":                       {1, []string{"FAIL check-then-set", "two were inside", "updates lost"}},
		"-duration 500ms -goroutines 2 spin":                {0, []string{"PASS spin", "lost 0"}},
		"-duration 1m -kill 60 -hang 1s spin":               {3, []string{"FAIL spin", "killed", "nobody has given the lock back", "taken is 1"}},
		"-duration 500ms -goroutines 4 -kill 60 flock ours": {0, []string{"PASS flock", "PASS ours", "lost 0"}},
	} {
		cmd := run(strings.Fields(line)...)
		cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
		out, _ := cmd.CombinedOutput() // its code is looked at
		code := cmd.ProcessState.ExitCode()
		if late := c.code == 0 && code == 6; code != c.code && !late { // beside other tests nothing can be promised about time
			t.Errorf("%s: code %d, want %d\n%s", line, code, c.code, out)
		}
		for _, want := range c.want {
			if !strings.Contains(string(out), want) && code == c.code {
				t.Errorf("%s: no %q in\n%s", line, want, out)
			}
		}
	}
}
