// What holds for the paths that wait for nobody: they allocate nothing, with a context
// that can be cancelled neither, and when they fail neither.
package semaphore

import (
	"context"
	"testing"

	"interlock/internal/race"
)

func TestNothingIsAllocated(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	s, empty, full := fresh(t, 1), fresh(t, 0), fresh(t, MaxValue)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done, cancelNow := context.WithCancel(context.Background())
	cancelNow()
	for name, call := range map[string]func(){
		"Acquire and Release":                  func() { _ = s.Acquire(ctx); _ = s.Release() },
		"TryAcquire and Release":               func() { s.TryAcquire(); _ = s.Release() },
		"a TryAcquire that fails":              func() { empty.TryAcquire() },
		"a Release past the maximum":           func() { _ = full.Release() },
		"an Acquire whose context is done":     func() { _ = s.Acquire(done) },
		"Value":                                func() { _ = s.Value() },
		"a Release with a dead waiter counted": func() { s.data.Store(oneWaiter); _ = s.Release() },
	} {
		if n := testing.AllocsPerRun(1000, call); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
