// The fine figures, for benchstat; between processes "stress bench" measures.
package semaphore

import (
	"context"
	"testing"

	"interlock/internal/proctest"
)

func benchSem(b *testing.B, permits uint32) *Semaphore {
	b.Helper()
	_, mem := proctest.Memfd(b, 4096)
	s := sem(mem)
	s.Init(permits)
	return s
}

func BenchmarkAcquireRelease(b *testing.B) {
	s := benchSem(b, 1)
	ctx := context.Background()
	for b.Loop() {
		_ = s.Acquire(ctx)
		_ = s.Release()
	}
}

func BenchmarkAcquireReleaseCancellable(b *testing.B) {
	s := benchSem(b, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for b.Loop() {
		_ = s.Acquire(ctx)
		_ = s.Release()
	}
}

// A load and a compare-and-swap in each of two calls, as sem_wait and sem_post have
// them, and nothing else.
func BenchmarkLeast(b *testing.B) {
	s := benchSem(b, 1)
	for b.Loop() {
		if !takeOnly(s) || !giveOnly(s) {
			b.Fatal("no permit")
		}
	}
}

//go:noinline
func takeOnly(s *Semaphore) bool {
	d := s.data.Load()
	return d&valueMask > 0 && s.data.CompareAndSwap(d, d-1)
}

//go:noinline
func giveOnly(s *Semaphore) bool {
	d := s.data.Load()
	return d < MaxValue && s.data.CompareAndSwap(d, d+1)
}

func BenchmarkTryAcquireOfNone(b *testing.B) {
	s := benchSem(b, 0)
	for b.Loop() {
		if s.TryAcquire() {
			b.Fatal("a permit out of nothing")
		}
	}
}

// PingPong: two goroutines of one process, as with an unbuffered channel, which is
// what to compare with.
func BenchmarkPingPong(b *testing.B) {
	ctx := context.Background()
	b.Run("kind=semaphore", func(b *testing.B) {
		there, back := benchSem(b, 0), benchSem(b, 0)
		go func() {
			for range b.N {
				_ = there.Acquire(ctx)
				_ = back.Release()
			}
		}()
		b.ResetTimer()
		for range b.N {
			_ = there.Release()
			_ = back.Acquire(ctx)
		}
	})
	b.Run("kind=channel", func(b *testing.B) {
		there, back := make(chan bool), make(chan bool)
		go func() {
			for range b.N {
				<-there
				back <- true
			}
		}()
		b.ResetTimer()
		for range b.N {
			there <- true
			<-back
		}
	})
}

// Contended: more goroutines than permits.
func BenchmarkContended(b *testing.B) {
	s := benchSem(b, 1)
	ctx := context.Background()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_ = s.Acquire(ctx)
			_ = s.Release()
		}
	})
}
