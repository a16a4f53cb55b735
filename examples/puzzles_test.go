// What holds for the puzzles: as shipped yours.go fails for the reason that its comment
// gives, and ours.go solves the puzzle, with kills.
package examples

import (
	"os"
	"regexp"
	"testing"
)

func TestPuzzles(t *testing.T) {
	for name, c := range map[string]struct {
		code int
		want string
	}{
		"producers":    {1, `FAIL producers(?s:.*)(item \d+ of producer \d came twice|polls: for)`},
		"readers":      {3, `FAIL readers(?s:.*)writer \d \(pid \d+\) starves`},
		"philosophers": {3, `FAIL philosophers(?s:.*)a circle: 0 waits for 1 waits for 2 waits for 3 waits for 4 waits for 0`},
	} {
		run := build(t, "puzzles/"+name)
		for _, try := range []struct {
			args []string
			code int
			want string
		}{
			{nil, c.code, c.want},
			{[]string{"-solved", "-duration", "8s"}, 0, "PASS " + name + "-solved .*kills [1-9]"},
			{[]string{"-solved", "-duration", "1s", "-kill", "0"}, 0, "PASS " + name + "-solved .*nobody was killed"},
		} {
			cmd := run(try.args...)
			cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
			out, _ := cmd.CombinedOutput() // its code is looked at
			if code := cmd.ProcessState.ExitCode(); code != try.code || !regexp.MustCompile(try.want).Match(out) {
				t.Errorf("%s %v: code %d, want %d and %q\n%s", name, try.args, code, try.code, try.want, out)
			}
		}
	}
}
