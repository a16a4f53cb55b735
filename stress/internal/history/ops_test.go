package history

import (
	"testing"

	"interlock/stress/internal/arena"
)

// The last operations of each lane are kept, and how many were dropped is known; what was
// not begun completely is left out, and of a process that was killed the last one has
// no end.
func TestRead(t *testing.T) {
	a, err := arena.CreateKeeping(2, 2, 64, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for i := range 6 {
		o := a.Begin(1, 7, 0, uint64(i), 0)
		o.Got.Store(arena.Now())
		if i < 5 {
			o.Done.Store(arena.Now())
		}
	}
	a.Bury(7, true)
	a.Begin(1, 8, 3, 1, 2) // its successor
	a.Begin(3, 9, 0, 0, 0).Call.Store(0)
	log := Read(a)
	if len(log.Ops) != 4 || log.Dropped != 3 {
		t.Fatalf("%d operations, %d dropped: %+v", len(log.Ops), log.Dropped, log.Ops)
	}
	for i, op := range log.Ops {
		last := i >= 2
		if op.Lane != 1 || op.Last != last || (op.PID == 7) != (op.Killed != 0) || i > 0 && op.Call < log.Ops[i-1].Call {
			t.Errorf("%d: %+v", i, op)
		}
	}
	if end := log.Ops[2]; end.In != 5 || end.Got == 0 || end.Done != 0 {
		t.Errorf("the one that was killed: %+v", end)
	}
	if next := log.Ops[3]; next.PID != 8 || next.Kind != 3 || next.Round != 2 {
		t.Errorf("its successor: %+v", next)
	}
}

// Where nothing is kept there is nothing.
func TestReadNothing(t *testing.T) {
	a, err := arena.Create(1, 1, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if o := a.Begin(0, 1, 0, 0, 0); o != nil || len(Read(a).Ops) != 0 {
		t.Errorf("%v", o)
	}
}
