// The fine figures, for benchstat; what other processes do to them is measured by
// "stress bench". sync is the same with a sync.Mutex, which is what there is to
// compare with in one process.
package mutex

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"interlock/internal/park"
	"interlock/internal/proc"
)

// guarded is what both kinds can do.
type guarded interface {
	sync.Locker
	TryLock() bool
}

// kinds runs a benchmark with both.
func kinds(b *testing.B, f func(b *testing.B, m guarded)) {
	b.Run("kind=shared", func(b *testing.B) {
		_, board := newBoard(b)
		board.m.Lock() // the first one links it
		board.m.Unlock()
		b.ResetTimer()
		f(b, &board.m)
	})
	b.Run("kind=sync", func(b *testing.B) { f(b, new(sync.Mutex)) })
}

func BenchmarkLock(b *testing.B) {
	b.Run("kind=shared", func(b *testing.B) {
		_, board := newBoard(b)
		for b.Loop() {
			board.m.Lock()
			board.m.Unlock()
		}
	})
	b.Run("kind=sync", func(b *testing.B) {
		m := new(sync.Mutex)
		for b.Loop() {
			m.Lock()
			m.Unlock()
		}
	})
	// What Lock and Unlock do, without the two calls: they are too large to be inlined.
	b.Run("kind=inline", func(b *testing.B) {
		_, board := newBoard(b)
		board.m.Lock()
		board.m.Unlock()
		m := &board.m
		for b.Loop() {
			if me := proc.Me(); !m.grab(me) || m.prev.Load() != me {
				b.Fatal("not locked")
			}
			if w := park.BucketAt(m.addr()); w.Listens() || !m.word.CompareAndSwap(proc.TID(proc.Me()), 0) || w.Listens() {
				b.Fatal("not unlocked")
			}
		}
	})
}

func BenchmarkLockContext(b *testing.B) {
	_, board := newBoard(b)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for b.Loop() {
		if err := board.m.LockContext(ctx); err != nil {
			b.Fatal(err)
		}
		board.m.Unlock()
	}
}

func BenchmarkTryLockOfHeld(b *testing.B) {
	kinds(b, func(b *testing.B, m guarded) {
		m.Lock()
		defer m.Unlock()
		for b.Loop() {
			if m.TryLock() {
				b.Fatal("taken twice")
			}
		}
	})
}

// Contended: goroutines that do nothing but lock, count and unlock.
func BenchmarkContended(b *testing.B) {
	for _, n := range []int{2, 8, 128} {
		b.Run("goroutines="+strconv.Itoa(n), func(b *testing.B) {
			kinds(b, func(b *testing.B, m guarded) {
				count := 0
				b.SetParallelism(max(1, n/runtime.GOMAXPROCS(0)))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						m.Lock()
						count++
						m.Unlock()
					}
				})
				if count != b.N {
					b.Fatalf("counted to %d of %d", count, b.N)
				}
			})
		})
	}
}

// Handover: two goroutines that take turns by three locks of which each always
// holds one: letting go of the oldest wakes the other.
func BenchmarkHandover(b *testing.B) {
	b.Run("kind=shared", func(b *testing.B) {
		_, board := newBoard(b)
		_, other := newBoard(b)
		_, third := newBoard(b)
		handover(b, [3]sync.Locker{&board.m, &other.m, &third.m})
	})
	b.Run("kind=sync", func(b *testing.B) {
		handover(b, [3]sync.Locker{new(sync.Mutex), new(sync.Mutex), new(sync.Mutex)})
	})
}

func handover(b *testing.B, locks [3]sync.Locker) {
	for _, l := range locks {
		l.Lock() // 1 and 2 are ours, 0 is the other's
	}
	done := make(chan bool)
	b.ResetTimer()
	go func() {
		for i := range b.N {
			locks[(i+1)%3].Lock()
			locks[i%3].Unlock()
		}
		done <- true
	}()
	for i := range b.N {
		locks[(i+1)%3].Unlock()
		locks[i%3].Lock()
	}
	<-done
	b.StopTimer()
	for _, l := range locks {
		l.Unlock()
	}
}
