// The fine figures, for benchstat; beside gVisor's "stress bench" measures. copy is
// what nobody can do without: the bytes from one place to another.
package seqlock

import (
	"context"
	"testing"

	"interlock/internal/proctest"
)

type (
	bench64  = [64]byte
	bench4k  = [4 << 10]byte
	bench64k = [64 << 10]byte
)

func sizes(b *testing.B, f64, f4k, f64k func(b *testing.B)) {
	b.Run("size=64", f64)
	b.Run("size=4k", f4k)
	b.Run("size=64k", f64k)
}

// shared is a zero S in shared memory.
func shared[S any](b *testing.B) *S {
	b.Helper()
	_, mem := proctest.Memfd(b, (sizeOf[S]()+4095)&^4095)
	return lay[S](mem)
}

func BenchmarkLoad(b *testing.B) {
	sizes(b, benchLoad[bench64], benchLoad[bench4k], benchLoad[bench64k])
}
func BenchmarkStore(b *testing.B) {
	sizes(b, benchStore[bench64], benchStore[bench4k], benchStore[bench64k])
}

func benchLoad[T any](b *testing.B) {
	ctx, dst := context.Background(), new(T)
	b.Run("kind=Seqlock", func(b *testing.B) {
		s := shared[Seqlock[T]](b)
		for b.Loop() {
			_ = s.Load(ctx, dst)
		}
	})
	b.Run("kind=DoubleBuffer", func(b *testing.B) {
		s := shared[DoubleBuffer[T]](b)
		for b.Loop() {
			s.Load(dst)
		}
	})
	b.Run("kind=copy", func(b *testing.B) {
		s := shared[T](b)
		for b.Loop() {
			copyOne(dst, s)
		}
	})
}

func benchStore[T any](b *testing.B) {
	ctx, src := context.Background(), new(T)
	b.Run("kind=Seqlock", func(b *testing.B) {
		s := shared[Seqlock[T]](b)
		for b.Loop() {
			_ = s.Store(ctx, src)
		}
	})
	b.Run("kind=DoubleBuffer", func(b *testing.B) {
		s := shared[DoubleBuffer[T]](b)
		for b.Loop() {
			_ = s.Store(ctx, src)
		}
	})
	b.Run("kind=copy", func(b *testing.B) {
		s := shared[T](b)
		for b.Loop() {
			copyOne(s, src)
		}
	})
}

// copyOne is a call, as a Load is.
//
//go:noinline
func copyOne[T any](dst, src *T) { *dst = *src }

// Beside a writer that never pauses: a reader of a Seqlock retries until a Load fits
// between two writes; of a DoubleBuffer only if two writes pass in one copy.
func BenchmarkLoadBesideAWriter(b *testing.B) {
	ctx, dst := context.Background(), new(bench4k)
	b.Run("kind=Seqlock", func(b *testing.B) {
		s := shared[Seqlock[bench4k]](b)
		defer busyWriter(func() { _ = s.Store(ctx, new(bench4k)) })()
		for b.Loop() {
			_ = s.Load(ctx, dst)
		}
	})
	b.Run("kind=DoubleBuffer", func(b *testing.B) {
		s := shared[DoubleBuffer[bench4k]](b)
		defer busyWriter(func() { _ = s.Store(ctx, new(bench4k)) })()
		for b.Loop() {
			s.Load(dst)
		}
	})
}

// busyWriter writes until it is stopped.
func busyWriter(write func()) (stop func()) {
	quit, gone := make(chan bool), make(chan bool)
	go func() {
		defer close(gone)
		for {
			select {
			case <-quit:
				return
			default:
				write()
			}
		}
	}()
	return func() { close(quit); <-gone }
}
