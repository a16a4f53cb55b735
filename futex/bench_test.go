// What a sleep costs that does not come about, since the word has changed: the way
// into the kernel and back. A Sleeper gives the kernel two words, its own as well.
package futex

import (
	"testing"

	"interlock/internal/proctest"
)

func BenchmarkChanged(b *testing.B) {
	_, mem := proctest.Memfd(b, 4096)
	w := word(mem, 0)
	b.Run("kind=one", func(b *testing.B) {
		for b.Loop() {
			_ = Wait(w, 1)
		}
	})
	b.Run("kind=two", func(b *testing.B) {
		s := new(Sleeper)
		for b.Loop() {
			_, _ = s.Sleep(w, 1)
		}
	})
}
