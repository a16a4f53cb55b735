package arena

import (
	"testing"
)

func create(t *testing.T, procs, lanes, size int) *Arena {
	t.Helper()
	a, err := Create(procs, lanes, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// Nothing in the segment overlaps, and no two workers share a cache line.
func TestLayout(t *testing.T) {
	for name, size := range map[string]int{
		"Header": SizeOf[Header](), "Grave ring": GraveCount * SizeOf[Grave](), "Slot": SizeOf[Slot](), "Lane": SizeOf[Lane](),
	} {
		if size%64 != 0 {
			t.Errorf("%s has %d bytes: what follows shares its last cache line", name, size)
		}
	}
	a := create(t, 3, 5, 1000)
	seen := map[*Lane]bool{}
	for i := range 3 {
		for j := range 5 {
			if a.Lane(i, j) != a.LaneByID(i*5+j) {
				t.Errorf("lane %d of slot %d is not lane %d", j, i, i*5+j)
			}
			seen[a.Lane(i, j)] = true
			a.Lane(i, j).Ops.Store(1)
			a.Lane(i, j).Rec[3].Store(2)
		}
	}
	if len(seen) != 15 || a.Ops() != 15 || a.Sum(3) != 30 {
		t.Errorf("%d lanes, %d ops, sum %d", len(seen), a.Ops(), a.Sum(3))
	}
	if len(a.Scenario()) < 1000 {
		t.Errorf("%d bytes for the scenario", len(a.Scenario()))
	}
	for i, b := range a.Scenario() {
		if b != 0 {
			t.Fatalf("byte %d of the scenario's part was written by a lane", i)
		}
	}
}

// The newest grave of a pid counts, the first repair counts, and the ring may
// wrap.
func TestGraves(t *testing.T) {
	a := create(t, 1, 1, 64)
	for range GraveCount {
		a.Bury(7, false)
	}
	old := a.Bury(8, true)
	last := a.Bury(7, true)
	if a.Mourn(9) {
		t.Error("mourned for somebody who was not killed")
	}
	if !a.Mourn(7) || last.Repaired.Load() == 0 {
		t.Error("the newest grave is not stamped")
	}
	first := last.Repaired.Load()
	if !a.Mourn(7) || last.Repaired.Load() != first {
		t.Error("a second repair changed the stamp of the first")
	}
	if !a.Mourn(8) || old.Repaired.Load() < old.At.Load() || old.Held.Load() != 1 {
		t.Error("the grave before it is lost")
	}
}

func TestFaults(t *testing.T) {
	a := create(t, 1, 1, 64)
	for i := range FaultCount + 3 {
		a.Fault(0, "fault %d", i)
	}
	texts := a.FaultTexts()
	if len(texts) != FaultCount || texts[0] != "fault 0" || a.Faults.Load() != FaultCount+3 {
		t.Errorf("%d of %d texts: %q", len(texts), a.Faults.Load(), texts)
	}
}

func TestOpenRefusesStrangers(t *testing.T) {
	// The test binary has no control segment as descriptor 3, whatever it has.
	if a, err := Open(); err == nil {
		a.Close()
		t.Error("opened something")
	}
}
