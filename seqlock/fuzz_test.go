package seqlock

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"interlock/internal/proctest"
	"interlock/mutex"
)

// FuzzSeqlock: whatever the sequence and the mutex of the writers are, each call ends in
// time, with what it documents (T81).
func FuzzSeqlock(f *testing.F) {
	_, mem := proctest.Memfd(f, 8192)
	s, b := lay[Seqlock[b64]](mem), lay[DoubleBuffer[b64]](mem[4096:])
	f.Add(uint64(0), []byte(nil))
	f.Add(uint64(1), []byte{1})
	f.Add(uint64(math.MaxUint64), []byte{0, 0, 0, 0x40})
	f.Add(uint64(1<<63), []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, seq uint64, lock []byte) {
		start := time.Now()
		hostile := func() {
			s.seq.Store(seq)
			b.seq.Store(seq)
			for _, m := range [][]byte{mem[8:48], mem[4096+8 : 4096+48]} {
				clear(m)
				copy(m, lock)
			}
		}
		briefly := func(f func(ctx context.Context) error) {
			t.Helper()
			hostile()
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			if err := f(ctx); err != nil && !documented(err) {
				t.Errorf("%v", err)
			}
		}
		var v b64
		briefly(func(ctx context.Context) error { return s.Load(ctx, &v) })
		briefly(func(ctx context.Context) error { return s.Store(ctx, &v) })
		briefly(func(ctx context.Context) error { return s.Update(ctx, func(*b64) {}) })
		briefly(func(ctx context.Context) error { return b.Store(ctx, &v) })
		briefly(func(ctx context.Context) error { return b.Update(ctx, func(*b64) {}) })
		hostile()
		s.TryLoad(&v)
		b.Load(&v)
		if d := time.Since(start); proctest.TooLate(d) {
			t.Errorf("it took %v", d)
		}
		clear(mem)
	})
}

// documented reports whether a load or a store may return err.
func documented(err error) bool {
	for _, is := range []error{context.DeadlineExceeded, ErrWriterDead, mutex.ErrNotRecoverable, mutex.ErrPIDNamespace, mutex.ErrNotShared} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}
