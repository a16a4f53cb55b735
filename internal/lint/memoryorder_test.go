// docs/memory-order.md says which arm64 instructions order what. Here the compiler is
// asked: those that a row names stand in that function, in that order.
package lint

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

var (
	orderRow    = regexp.MustCompile("(?m)^\\| `([\\w.()*]+)` \\| (.*`[A-Z]+`.*) \\|$")
	instruction = regexp.MustCompile("`([A-Z]+)`")
	listedFunc  = regexp.MustCompile(`^interlock/(\S+) STEXT`)
	listedLine  = regexp.MustCompile(`^\s+0x[0-9a-f]+ \d+ \([^)]*\)\s+([A-Z][A-Z0-9]*)`)
)

// listing is the instructions of each function, as the compiler prints them for arm64.
func listing(t *testing.T) map[string][]string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skipf("no compiler to ask: %v", err)
	}
	cmd := exec.Command("go", "build", "-gcflags=-S", "./mutex", "./semaphore", "./condvar", "./seqlock", "./futex")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "GOARCH=arm64", "GOARM64=v8.0", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	all, in := map[string][]string{}, ""
	for _, line := range strings.Split(string(out), "\n") {
		if m := listedFunc.FindStringSubmatch(line); m != nil {
			in = m[1]
		} else if m := listedLine.FindStringSubmatch(line); m != nil && in != "" {
			all[in] = append(all[in], m[1])
		}
	}
	return all
}

// missing is the first of want that does not follow its predecessors in got.
func missing(got, want []string) string {
	for _, w := range want {
		for len(got) > 0 && got[0] != w {
			got = got[1:]
		}
		if len(got) == 0 {
			return w
		}
		got = got[1:]
	}
	return ""
}

func TestTheInstructionsOfMemoryOrder(t *testing.T) {
	doc, err := os.ReadFile("../../docs/memory-order.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := orderRow.FindAllStringSubmatch(string(doc), -1)
	if len(rows) < 10 {
		t.Fatalf("only %d rows are understood", len(rows))
	}
	all := listing(t)
	for _, row := range rows {
		var want []string
		for _, m := range instruction.FindAllStringSubmatch(row[2], -1) {
			want = append(want, m[1])
		}
		got := all[row[1]]
		if got == nil {
			t.Errorf("the compiler lists no %s", row[1])
		} else if w := missing(got, want); w != "" {
			t.Errorf("%s has no %s where the document has it: %q", row[1], w, want)
		}
	}
}

func TestMissing(t *testing.T) {
	got := strings.Fields("MOVD LDAR CASALW LDAXRW STLXRW LDAR RET")
	for want, first := range map[string]string{
		"LDAR CASALW LDAR": "", "LDAR LDAR LDAR": "LDAR", "STLXRW CASALW": "CASALW", "DMB": "DMB", "": "",
	} {
		if m := missing(got, strings.Fields(want)); m != first {
			t.Errorf("%q in %q: %q, want %q", want, got, m, first)
		}
	}
}
