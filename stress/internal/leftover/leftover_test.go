package leftover

import (
	"os"
	"path/filepath"
	"slices"
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
	mine, err := MakeDir("failure")
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
