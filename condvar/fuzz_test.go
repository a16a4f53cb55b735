package condvar

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"interlock/internal/proctest"
)

// FuzzCond: whatever the words are, before a wait and during it, each call ends in time,
// and Wait returns holding the mutex (T81).
func FuzzCond(f *testing.F) {
	_, mem := proctest.Memfd(f, 4096)
	s := at(mem)
	const most = math.MaxUint32
	f.Add(uint32(0), uint32(0), uint32(0), uint32(0), uint32(0))
	f.Add(uint32(most), uint32(most), uint32(most), uint32(0), uint32(most))
	f.Add(uint32(0), uint32(0), uint32(0), uint32(1), uint32(most))
	f.Add(uint32(1<<31), uint32(1<<31), uint32(1<<31), uint32(1<<31), uint32(1))
	f.Fuzz(func(t *testing.T, seq, waiters, casts, later, alone uint32) {
		set := func(to, n, c uint32) {
			s.c.seq.Store(to)
			s.c.waiters.Store(n)
			s.c.casts.Store(c)
		}
		set(seq, waiters, casts)
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Millisecond)
		defer cancel()
		met := make(chan bool)
		go func() {
			defer close(met)
			s.m.Lock() // the waiter has unlocked: it waits, or is about to
			s.m.Unlock()
			set(later, alone, seq)
			s.c.Signal()
			s.c.Broadcast()
		}()
		s.m.Lock()
		if err := s.c.WaitContext(ctx, &s.m); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("WaitContext: %v", err)
		}
		s.m.Unlock() // panics if it is not held
		<-met
		if d := time.Since(start); proctest.TooLate(d) {
			t.Errorf("it took %v", d)
		}
	})
}
