// What holds for Pause:
//   - zero rounds is no round, not 2^32 of them;
//   - on CPUs we have a stub for, more rounds take longer (it does pause).
//
// Times are minima over many tries, so that a busy machine cannot fail them.
package spin

import (
	"math"
	"runtime"
	"testing"
	"time"
)

func fastest(n uint32) time.Duration {
	least := time.Duration(math.MaxInt64)
	for range 200 {
		start := time.Now()
		Pause(n)
		least = min(least, time.Since(start))
	}
	return least
}

func TestPauseOfZeroRoundsReturnsAtOnce(t *testing.T) {
	if d := fastest(0); d > time.Millisecond {
		t.Fatalf("Pause(0) took %v", d)
	}
}

func TestPauseGrowsWithRounds(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skipf("no stub for %s: Pause is a no-op", runtime.GOARCH)
	}
	few, many := fastest(10), fastest(1000)
	if many <= few {
		t.Fatalf("Pause(10) took %v, Pause(1000) %v: it does not pause", few, many)
	}
	t.Logf("one round takes about %v", many/1000)
}

func BenchmarkPause20(b *testing.B) {
	for range b.N {
		Pause(20)
	}
}
