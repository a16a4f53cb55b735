// The fine figures, for benchstat; between processes "stress bench" measures. sync is
// the same with a sync.Cond.
package condvar

import (
	"sync"
	"testing"

	"interlock/internal/proctest"
)

func benchScene(b *testing.B) *scene {
	b.Helper()
	_, mem := proctest.Memfd(b, 4096)
	return at(mem)
}

func BenchmarkSignalOfNobody(b *testing.B) {
	b.Run("kind=shared", func(b *testing.B) {
		s := benchScene(b)
		for b.Loop() {
			s.c.Signal()
		}
	})
	b.Run("kind=sync", func(b *testing.B) {
		c := sync.NewCond(new(sync.Mutex))
		for b.Loop() {
			c.Signal()
		}
	})
}

// PingPong: two goroutines that take turns.
func BenchmarkPingPong(b *testing.B) {
	b.Run("kind=shared", func(b *testing.B) {
		s := benchScene(b)
		takeTurns(b, &s.m, func() { s.c.Wait(&s.m) }, s.c.Signal)
	})
	b.Run("kind=sync", func(b *testing.B) {
		c := sync.NewCond(new(sync.Mutex))
		takeTurns(b, c.L, c.Wait, c.Signal)
	})
}

func takeTurns(b *testing.B, m sync.Locker, wait, signal func()) {
	turn := 0
	player := func(me int) {
		for range b.N {
			m.Lock()
			for turn != me {
				wait()
			}
			turn = 1 - me
			m.Unlock()
			signal()
		}
	}
	done := make(chan bool)
	b.ResetTimer()
	go func() { player(1); done <- true }()
	player(0)
	<-done
}
