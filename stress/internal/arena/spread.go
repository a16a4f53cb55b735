package arena

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Spread counts how often what took how long, in words that survive who counts.
// A bucket is an eighth of a power of two wide.
type Spread struct {
	Worst  atomic.Int64
	Counts [spreadSize]atomic.Uint32
	_      [56]byte
}

const spreadSize = 272 // up to 2^36 ns, more than a minute

// Add counts one.
func (s *Spread) Add(d time.Duration) {
	s.Counts[bucket(d)].Add(1)
	for worst := s.Worst.Load(); int64(d) > worst && !s.Worst.CompareAndSwap(worst, int64(d)); {
		worst = s.Worst.Load()
	}
}

// bucket is where a duration is counted.
func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 8 {
		return int(v)
	}
	shift := bits.Len64(v) - 4
	return min(8*(shift+1)+int(v>>shift)-8, spreadSize-1)
}

// top is the largest duration in a bucket.
func top(bucket int) time.Duration {
	if bucket < 8 {
		return time.Duration(bucket)
	}
	shift := bucket/8 - 1
	return time.Duration(uint64(bucket%8+9)<<shift - 1)
}

// Each calls f for each bucket in which there is something, with the longest that may be
// in it.
func (s *Spread) Each(f func(d time.Duration, n int64)) {
	worst := time.Duration(s.Worst.Load())
	for i := range s.Counts {
		if n := s.Counts[i].Load(); n > 0 {
			f(min(top(i), worst), int64(n))
		}
	}
}
