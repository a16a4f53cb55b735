package semaphore

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"interlock/internal/proctest"
)

// FuzzSemaphore: whatever the words are, each call ends in time, and no permit comes from
// nowhere (T81).
func FuzzSemaphore(f *testing.F) {
	_, mem := proctest.Memfd(f, 4096)
	s := sem(mem)
	for _, data := range []uint64{0, 1, MaxValue, MaxValue + 1, math.MaxUint32, math.MaxUint64, 1 << 32, math.MaxUint32 << 32} {
		f.Add(data, uint32(128))
	}
	f.Fuzz(func(t *testing.T, data uint64, private uint32) {
		before := uint32(data)
		s.data.Store(data)
		s.private.Store(private)
		start := time.Now()
		ctx := context.Background() // with a permit there it waits for nothing
		if before == 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
		}
		err := s.Acquire(ctx)
		if (err == nil) != (before > 0) || err != nil && err != context.DeadlineExceeded {
			t.Errorf("Acquire of %#x: %v", data, err)
		}
		s.data.Store(data)
		if s.TryAcquire() != (before > 0) {
			t.Errorf("TryAcquire of %#x is not %v", data, before > 0)
		}
		s.data.Store(data)
		err = s.Release()
		if errors.Is(err, ErrOverflow) != (before >= MaxValue) || err != nil && !errors.Is(err, ErrOverflow) {
			t.Errorf("Release of %#x: %v", data, err)
		}
		if err == nil && uint32(s.data.Load()) != before+1 {
			t.Errorf("Release of %#x made it %#x", data, s.data.Load())
		}
		if d := time.Since(start); proctest.TooLate(d) {
			t.Errorf("%#x took %v", data, d)
		}
	})
}
