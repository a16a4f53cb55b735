// What holds when a peer makes the file shorter that a value lies in (T69, P-K6):
//   - no call kills the process: it panics, or returns shm.ErrTruncated;
//   - a Store that lost its memory half-way has given up the writers' mutex, and the
//     value counts as torn.
package seqlock

import (
	"context"
	"errors"
	"os"
	"testing"

	"interlock/internal/proctest"
)

func TestCallsOnTruncatedMemory(t *testing.T) { // T69, P-K6
	bg := context.Background()
	for call, f := range map[string]func(s *Seqlock[b4k], b *DoubleBuffer[b4k]) error{
		"Load":                func(s *Seqlock[b4k], _ *DoubleBuffer[b4k]) error { return s.Load(bg, new(b4k)) },
		"TryLoad":             func(s *Seqlock[b4k], _ *DoubleBuffer[b4k]) error { s.TryLoad(new(b4k)); return nil },
		"Store":               func(s *Seqlock[b4k], _ *DoubleBuffer[b4k]) error { return s.Store(bg, new(b4k)) },
		"Update":              func(s *Seqlock[b4k], _ *DoubleBuffer[b4k]) error { return s.Update(bg, func(*b4k) {}) },
		"DoubleBuffer.Load":   func(_ *Seqlock[b4k], b *DoubleBuffer[b4k]) error { b.Load(new(b4k)); return nil },
		"DoubleBuffer.Store":  func(_ *Seqlock[b4k], b *DoubleBuffer[b4k]) error { return b.Store(bg, new(b4k)) },
		"DoubleBuffer.Update": func(_ *Seqlock[b4k], b *DoubleBuffer[b4k]) error { return b.Update(bg, func(*b4k) {}) },
	} {
		// With the first page left, the sequence and the mutex are sound, and the
		// fault is in the middle of the copy.
		for name, size := range map[string]int{"all of it": 0, "but for a page": os.Getpagesize()} {
			t.Run(call+", "+name, func(t *testing.T) {
				file, mem := proctest.Memfd(t, sizeOf[Seqlock[b4k]]()+sizeOf[DoubleBuffer[b4k]]())
				proctest.Known(mem)
				s, b := lay[Seqlock[b4k]](mem), lay[DoubleBuffer[b4k]](mem)
				put[b4k](t, b, 2) // of these only one is used
				proctest.Truncate(t, file, int64(size))
				for range 3 {
					proctest.Gone(t, call, func() error { return f(s, b) })
				}
			})
		}
	}
}

func TestAStoreThatLosesItsMemoryHoldsUpNobody(t *testing.T) { // T69, P-K6
	file, mem := proctest.Memfd(t, sizeOf[Seqlock[b1m]]())
	s := lay[Seqlock[b1m]](proctest.Known(mem))
	put[b1m](t, s, 1)
	proctest.Truncate(t, file, int64(os.Getpagesize()))
	proctest.Gone(t, "Store", func() error { return s.Store(context.Background(), new(b1m)) })
	proctest.Truncate(t, file, int64(len(mem))) // of zeros, but there again
	if err := s.Load(context.Background(), new(b1m)); !errors.Is(err, ErrWriterDead) {
		t.Errorf("Load of half a value: %v", err)
	}
	put[b1m](t, s, 2)
	expect[b1m](t, s, 2)
}
