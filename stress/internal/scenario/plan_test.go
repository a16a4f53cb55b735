package scenario

import (
	"slices"
	"testing"
)

// What every scenario must have.
func TestPlans(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range All() {
		if p.Name == "" || p.About == "" || p.Duration <= 0 || p.Area == nil || p.Attach == nil || p.Check == nil {
			t.Errorf("%q is not complete", p.Name)
		}
		if seen[p.Name] {
			t.Errorf("%s: twice", p.Name)
		}
		seen[p.Name] = true
		if p.Shape.Procs < p.Least.Procs || p.Shape.Lanes < p.Least.Lanes || p.Least.Procs < 1 || p.Least.Lanes < 1 {
			t.Errorf("%s: shape %v, at least %v", p.Name, p.Shape, p.Least)
		}
		for _, l := range append(slices.Clone(p.Traps), p.Held...) {
			if p.LabelName(l) == "?" || l == LabelIdle || l == LabelParked {
				t.Errorf("%s: label %d cannot be a trap", p.Name, l)
			}
		}
	}
	for _, name := range []string{"lost-update", "mutex", "semaphore", "condvar", "seqlock", "segment", "herd", "timeouts", "interop"} {
		if !seen[name] {
			t.Errorf("no scenario %s", name)
		}
	}
}

func TestLockWord(t *testing.T) {
	for v, want := range map[uint32]string{
		0:                     "0: free",
		1234:                  "0x4d2: TID 1234",
		1<<31 | 1234:          "0x800004d2: TID 1234 WAITERS",
		1<<30 | 1<<31:         "0xc0000000: TID 0 OWNER_DIED WAITERS",
		1<<30 | 1<<31 | 1<<29: "0xe0000000: TID 536870912 OWNER_DIED WAITERS",
	} {
		if got := lockWord(v); got != want {
			t.Errorf("%#x: %q, want %q", v, got, want)
		}
	}
}
