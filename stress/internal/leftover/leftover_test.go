package leftover

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Only names of our own form are ours, and only while their supervisor is gone
// are they abandoned.
func TestNames(t *testing.T) {
	me, begun := os.Getpid(), StartTime(os.Getpid())
	if begun == 0 {
		t.Fatal("no start time of this process")
	}
	for name, abandoned := range map[string]bool{
		SegmentName(me, begun, 3):                            false, // alive
		SegmentName(me, begun+1, 3):                          true,  // its pid has come round
		SegmentName(1<<22+5, 1, 3):                           true,  // no such process
		".interlock-" + SegmentName(1<<22+5, 1, 3) + ".init": true,
		"interlock-stress.12.x.3":                            false, // not our form
		"interlock-stress.12.1.3.bak":                        false,
		"x-interlock-stress.12.1.3":                          false,
		"interlock-stress.99999999999999999999.1.3":          false,
		".interlock-somebody-else.init":                      false,
		"interlock-stress":                                   false,
		"sem.interlock-stress.12.1.3":                        true,
		"sem.x-interlock-stress.12.1.3":                      false,
		".interlock-" + SegmentName(me, begun, 3) + ".init":  false,
	} {
		if got := ownerGone(segmentName.FindStringSubmatch(name)); got != abandoned {
			t.Errorf("%s: abandoned %v", name, got)
		}
	}
}

func TestAbandonedDirectories(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	mine, err := MakeDir(Failure)
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(tmp, "interlock-stress-selftest.4999999.1.777")
	foreign := filepath.Join(tmp, "interlock-stress-selftest.4999999.1.777.tar")
	for _, dir := range []string{filepath.Join(dead, "sub"), foreign} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Abandoned()
	if err != nil || !slices.Contains(found, dead) || slices.Contains(found, mine) || slices.Contains(found, foreign) {
		t.Fatalf("%v %v", found, err)
	}
	if err := Remove([]string{dead}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

// What MakeDir makes, clean knows, whatever it is for.
func TestEveryKindIsKnown(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for kind := range kindCount {
		dir, err := MakeDir(kind)
		if err != nil {
			t.Fatal(err)
		}
		m := tempName.FindStringSubmatch(filepath.Base(dir))
		if m == nil || ownerGone(m) || !ownerGone([]string{m[0], m[1], m[2] + "0"}) {
			t.Errorf("%s: %q", dir, m)
		}
	}
}

// Nothing of stress makes a directory by itself, whose name nobody would know. (What
// travels to be compiled elsewhere, and tests, are not stress.)
func TestDirectoriesAreMadeHereOnly(t *testing.T) {
	used := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		for _, kind := range kinds {
			if strings.Contains(string(text), "leftover."+strings.ToUpper(kind[:1])+kind[1:]) {
				used[kind] = true
			}
		}
		for _, by := range []string{"MkdirTemp(", "CreateTemp("} {
			if strings.Contains(string(text), by) && filepath.Base(path) != "leftover.go" {
				t.Errorf("%s: %s…): leftover.MakeDir gives a name that clean knows", path, by)
			}
		}
		return err
	})
	if err != nil || len(used) < len(kinds) {
		t.Errorf("of the kinds %q only %v are made: %v", kinds, used, err)
	}
}
