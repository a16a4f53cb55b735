package park

import (
	"runtime"
	"sync/atomic"

	"interlock/internal/spin"
)

// To stay awake for a while pays if what one waits for comes within the time that a
// sleep and a wake take, some 10 to 20 µs. So who comes to wait looks again and
// again for about that long: often at first, since a partner on another CPU answers
// within a fraction of a microsecond; then seldom, since each look takes the cache
// line from who is about to write it. A look writes only if what it waits for is there.
//
// It does not pay on one CPU, nor when those who could bring what one waits for have
// no CPU to run on. So only half as many goroutines spin as there are CPUs, and
// where spinning has been for nothing several times in a row, it is tried once in a
// while only.
const (
	quickLooks, quickPause = 64, 1
	slowLooks, slowPause   = 64, 8

	missesInARow  = 4
	missesBetween = 32
)

var (
	mostAwake = int32(runtime.NumCPU() / 2)
	awake     atomic.Int32
)

// Spin calls look until it returns true, or until to sleep is better. It reports
// whether look did.
func (b *bucket) Spin(look func() bool) bool {
	if mostAwake == 0 || !b.mayPay() {
		return false
	}
	defer awake.Add(-1)
	if awake.Add(1) > mostAwake || runtime.GOMAXPROCS(0) == 1 {
		return false
	}
	for i := range quickLooks + slowLooks {
		if look() {
			if b.missed.Load() != 0 {
				b.missed.Store(0)
			}
			return true
		}
		if i < quickLooks {
			spin.Pause(quickPause)
		} else {
			spin.Pause(slowPause)
		}
	}
	b.missed.Add(1)
	return false
}

// mayPay counts what is not tried, too.
func (b *bucket) mayPay() bool {
	n := b.missed.Load()
	if n < missesInARow || n%missesBetween == 0 {
		return true
	}
	b.missed.Add(1)
	return false
}
