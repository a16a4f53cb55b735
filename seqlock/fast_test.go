// What holds for the paths that wait for nobody:
//   - loads and stores allocate nothing, with a context that can be cancelled neither;
//   - Update allocates the copy that it gives to its function, and nothing else: it
//     may be large, and f may keep it by mistake.
package seqlock

import (
	"context"
	"testing"

	"interlock/internal/race"
)

func TestNothingElseIsAllocated(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	_, _, s := share[Seqlock[b4k], b4k](t)
	_, _, b := share[DoubleBuffer[b4k], b4k](t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	v := new(b4k)
	for _, x := range []struct {
		name  string
		most  float64
		doing func()
	}{
		{"Seqlock.Load", 0, func() { _ = s.Load(ctx, v) }},
		{"Seqlock.TryLoad", 0, func() { s.TryLoad(v) }},
		{"Seqlock.Store", 0, func() { _ = s.Store(ctx, v) }},
		{"Seqlock.Update", 1, func() { _ = s.Update(ctx, func(v *b4k) { v.Tail[0]++ }) }},
		{"DoubleBuffer.Load", 0, func() { b.Load(v) }},
		{"DoubleBuffer.Store", 0, func() { _ = b.Store(ctx, v) }},
		{"DoubleBuffer.Update", 1, func() { _ = b.Update(ctx, func(v *b4k) { v.Tail[0]++ }) }},
	} {
		n := testing.AllocsPerRun(1000, x.doing)
		t.Logf("%s: %v", x.name, n)
		if n > x.most {
			t.Errorf("%s allocates %v times, more than %v", x.name, n, x.most)
		}
	}
}
