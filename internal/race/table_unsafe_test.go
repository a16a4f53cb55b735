package race_test

import (
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/race"
	"interlock/internal/race/racetest"
)

const many = 10_000

// span returns where fresh shared memory lies. Nothing touches it.
func span(t testing.TB, size int) (lo, hi uintptr) {
	mem, err := unix.Mmap(-1, 0, size, readWrite, shared|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	lo, hi = racetest.Addr(mem), racetest.Addr(mem)+uintptr(size)
	t.Cleanup(func() {
		race.Forget(lo, hi)
		if err := unix.Munmap(mem); err != nil {
			t.Error(err)
		}
	})
	return lo, hi
}

// A table of many locks, and many segments, each of which is new once.
func TestTheFirstUseOfManyAddressesIsCheap(t *testing.T) {
	if !race.Enabled {
		t.Skip("needs -race")
	}
	first := func(what string, n int, addr func(t *testing.T, i int) uintptr) {
		t.Run(what, func(t *testing.T) {
			var took time.Duration
			for i := range n {
				a := addr(t, i)
				start := time.Now()
				race.Acquire(a)
				took += time.Since(start)
			}
			t.Logf("%d addresses: %v, %v each", n, took.Round(time.Millisecond), (took / time.Duration(n)).Round(10*time.Nanosecond))
			if took > 10*time.Second {
				t.Errorf("that is too long")
			}
		})
	}
	one, _ := span(t, 64*many)
	first("in one mapping", many, func(_ *testing.T, i int) uintptr { return one + uintptr(64*i) })
	first("again", many, func(_ *testing.T, i int) uintptr { return one + uintptr(64*i) })
	large, _ := span(t, pageSize*many)
	first("each in another page", many, func(_ *testing.T, i int) uintptr { return large + uintptr(pageSize*i) })
	heap := make([][8]uint64, many)
	first("on the heap", many, func(_ *testing.T, i int) uintptr { return uintptr(unsafe.Pointer(&heap[i])) })
	race.Forget(0, ^uintptr(0))
	first("in mappings of their own", 1000, func(t *testing.T, _ int) uintptr { lo, _ := span(t, pageSize); return lo })
}

func TestShadowsGoWithTheLastAddress(t *testing.T) {
	if !race.Enabled {
		t.Skip("needs -race")
	}
	_, a := proctest.Memfd(t, pageSize)
	addresses, shadows := race.Shadows()
	check := func(when string, wantAddresses, wantShadows int) {
		t.Helper()
		a, s := race.Shadows()
		if a -= addresses; a != wantAddresses {
			t.Errorf("%s: %d addresses, want %d", when, a, wantAddresses)
		}
		if s -= shadows; s != wantShadows {
			t.Errorf("%s: %d shadows, want %d", when, s, wantShadows)
		}
	}
	again, err := unix.MremapPtr(unsafe.Pointer(&a[0]), 0, nil, uintptr(pageSize), unix.MREMAP_MAYMOVE)
	if err != nil {
		t.Fatal(err)
	}
	lo, other := racetest.Addr(a), uintptr(again)
	for _, addr := range []uintptr{lo, lo, lo + 8, other, other + 8, other} {
		race.Acquire(addr)
	}
	check("two words at two addresses", 4, 2)
	race.Forget(lo, lo+8)
	check("one address forgotten", 3, 2)
	race.Forget(other, other+uintptr(pageSize))
	check("a mapping forgotten", 1, 1)
	race.Forget(lo, lo+uintptr(pageSize))
	check("both forgotten", 0, 0)
	if err := unix.MunmapPtr(again, uintptr(pageSize)); err != nil {
		t.Fatal(err)
	}
}

// The same address means what is mapped there now, once the one before is
// forgotten.
func TestAnAddressThatWasForgottenIsLookedUpAgain(t *testing.T) {
	if !race.Enabled {
		t.Skip("needs -race")
	}
	lo, hi := span(t, pageSize)
	f, mem := proctest.Memfd(t, pageSize)
	race.Acquire(lo)
	race.Acquire(racetest.Addr(mem))
	_, shadows := race.Shadows()
	race.Forget(lo, hi)
	where := *(*unsafe.Pointer)(unsafe.Pointer(&lo))
	if _, err := unix.MmapPtr(int(f.Fd()), 0, where, uintptr(pageSize), readWrite, shared|unix.MAP_FIXED); err != nil {
		t.Fatal(err)
	}
	race.Acquire(lo)
	if _, s := race.Shadows(); s != shadows-1 {
		t.Errorf("%d shadows, want %d: the new address leads to the other one's", s, shadows-1)
	}
}

// The table is used by all goroutines at once, and orders none of them: the
// detector must not take it for a race.
func TestTheTableItselfIsNoRace(t *testing.T) {
	lo, _ := span(t, 64*many)
	var all sync.WaitGroup
	for range 4 {
		mine, end := span(t, pageSize)
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range many / 4 {
				race.Release(lo + uintptr(64*i))
				race.Acquire(mine + uintptr(i%512*8))
				if i%100 == 0 {
					race.Forget(mine, end)
				}
			}
		}()
	}
	all.Wait()
}
