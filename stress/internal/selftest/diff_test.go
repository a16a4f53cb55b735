package selftest

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"interlock/stress/internal/report"
)

const ten = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"

func applied(t *testing.T, diff string, files map[string]string) (map[string]string, error) {
	t.Helper()
	p, err := parsePatch(diff)
	if err != nil {
		return nil, err
	}
	return p.apply(func(file string) (string, error) {
		text, ok := files[file]
		if !ok {
			return "", errors.New("no file " + file)
		}
		return text, nil
	})
}

// A diff that diff -u writes is applied as patch does, also where the file is longer or
// shorter than it was.
func TestPatchAgainstDiff(t *testing.T) {
	if _, err := exec.LookPath("diff"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	for _, c := range []struct{ old, now string }{
		{ten, strings.Replace(ten, "5\n", "", 1)},
		{ten, strings.Replace(ten, "1\n2\n", "x\n1\n2\ny\n", 1)},
		{ten, "0\n" + ten + "11\n"},
		{ten, strings.TrimSuffix(ten, "\n")},
		{strings.TrimSuffix(ten, "\n"), ten},
		{strings.TrimSuffix(ten, "\n"), "1" + strings.TrimSuffix(ten, "\n") + "!"},
		{ten + ten + ten + ten, ten + "a\n" + ten + ten + "b\n" + ten},
		{"\n\n\n", "\n\nx\n\n"},
	} {
		old, now := filepath.Join(dir, "old"), filepath.Join(dir, "now")
		for path, text := range map[string]string{old: c.old, now: c.now} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		diff, _ := exec.Command("diff", "-u", "--label", "a/f", "--label", "b/f", old, now).Output() // 1: they differ
		got, err := applied(t, string(diff), map[string]string{"f": c.old})
		if err != nil || got["f"] != c.now {
			t.Errorf("%s%v: %q, want %q", diff, err, got["f"], c.now)
		}
		got, err = applied(t, string(diff), map[string]string{"f": "new\n" + c.old})
		if err != nil || got["f"] != "new\n"+c.now {
			t.Errorf("one line down: %v: %q, want %q", err, got["f"], "new\n"+c.now)
		}
	}
}

func TestPatchesOfWholeFiles(t *testing.T) {
	diff := "diff --git a/n b/n\nnew file mode 100644\n--- /dev/null\n+++ b/n\n@@ -0,0 +1,2 @@\n+one\n+two\n" +
		"--- a/g\t2026-01-01\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n"
	got, err := applied(t, diff, map[string]string{"g": "gone\n"})
	if err != nil || got["n"] != "one\ntwo\n" || got["g"] != "" || len(got) != 2 {
		t.Errorf("%q %v", got, err)
	}
}

// What cannot be tried says why.
func TestPatchesThatCannotBeTried(t *testing.T) {
	head := "--- a/f\n+++ b/f\n"
	for diff, want := range map[string]string{
		"":                                        "no unified diff",
		"hello\n":                                 "no unified diff",
		head + "@@ -1,2 +1 @@\n 1\n":              "ends too soon",
		head + "@@ x @@\n":                        "head of a chunk",
		head + "@@ -1 +1 @@\n*1\n":                "begins with",
		head + "@@ -1 +1 @@\n-7\n+8\n":            "does not fit",
		"--- a/../f\n+++ b/../f\n":                "no path from",
		"--- /f\n+++ /f\n":                        "no path from",
		"--- a/stress/x.go\n+++ b/stress/x.go\n":  "judges",
		"rename from f\n" + head:                  "cannot be tried",
		"--- a/h\n+++ b/h\n@@ -1 +1 @@\n-7\n+8\n": "no file h",
	} {
		if got, err := applied(t, diff, map[string]string{"f": "1\n"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q %v, want %q", diff, got, err, want)
		}
	}
}

const (
	slowRelease = `--- a/semaphore/semaphore.go
+++ b/semaphore/semaphore.go
@@ -112,3 +112,3 @@
 func (s *Semaphore) Release() error {
-	if !s.put() {
+	if true {
 		return s.give()
`
	halfWritten = `--- a/semaphore/semaphore.go
+++ b/semaphore/semaphore.go
@@ -112,3 +112,3 @@
 func (s *Semaphore) Release() error {
-	if !s.put() {
+	if !s.put( {
 		return s.give()
`
)

// A patch that compiles is run, one that does not is the caller's mistake, and the tree
// is as it was.
func TestTryPatch(t *testing.T) {
	root := module(t)
	file := filepath.Join(root, "semaphore", "semaphore.go")
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	code, err := TryPatch(context.Background(), halfWritten, nil, &out)
	if code != report.Usage || err == nil || !strings.Contains(err.Error(), "does not compile") || !strings.Contains(err.Error(), "semaphore.go") {
		t.Errorf("code %d, %v", code, err)
	}
	// It always takes the slow path, which is right: nobody catches that.
	code, err = TryPatch(context.Background(), slowRelease, []string{"semaphore"}, &out)
	if code != report.Broke || err != nil || !strings.Contains(out.String(), "passes by semaphore") || !strings.Contains(out.String(), "NOT caught") {
		t.Errorf("code %d, %v:\n%s", code, err, &out)
	}
	if after, err := os.ReadFile(file); err != nil || string(after) != string(before) {
		t.Errorf("the source was changed: %v", err)
	}
}
