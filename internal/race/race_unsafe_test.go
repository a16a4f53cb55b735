// What holds for the announcements (T60), each in a process of its own:
//   - heap data guarded by a lock in shared memory that announces is not reported;
//   - the same data under the same lock without announcements is, so the test
//     above can fail;
//   - the look-up of a shadow orders nothing by itself;
//   - what was forgotten orders nothing any more.
package race_test

import (
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"interlock/internal/proctest"
	"interlock/internal/race"
	"interlock/internal/race/racetest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

// A spinLock is the simplest lock in shared memory. The detector does not see it.
type spinLock struct {
	word     *atomic.Uint32
	announce bool
}

func (l spinLock) addr() uintptr { return uintptr(unsafe.Pointer(l.word)) }

func (l spinLock) Lock() {
	for !l.word.CompareAndSwap(0, 1) {
		runtime.Gosched()
	}
	if l.announce {
		race.Acquire(l.addr())
	}
}

func (l spinLock) Unlock() {
	if l.announce {
		race.Release(l.addr())
	}
	l.word.Store(0)
}

// count has two goroutines add to heap data under a lock.
func count(announce bool) func(s *racetest.Stage) {
	return func(s *racetest.Stage) {
		add := func(mem []byte) func() {
			return func() {
				lock := spinLock{racetest.At[atomic.Uint32](mem, 0), announce}
				for range 1000 {
					lock.Lock()
					*s.Data++
					lock.Unlock()
				}
			}
		}
		s.AtOnce(add(s.A), add(s.B))
		s.Must(*s.Data == 2000, "the lock locks")
	}
}

// announcements are cases about single ones.
var announcements = []racetest.Case{
	{Name: "announced", Run: count(true)},
	{Name: "unannounced", Report: true, Run: count(false)},
	{Name: "first look-up", Report: true, Run: func(s *racetest.Stage) {
		s.InTurn(
			func() { *s.Data = 1; race.Acquire(racetest.Addr(s.A)) }, // makes the shadow, releases nothing
			func() { race.Acquire(racetest.Addr(s.B)); *s.Data = 2 })
	}},
	{Name: "released", Run: func(s *racetest.Stage) {
		s.InTurn(
			func() { *s.Data = 1; race.ReleaseMerge(racetest.Addr(s.A)) },
			func() { race.Acquire(racetest.Addr(s.B)); *s.Data = 2 })
	}},
	{Name: "released by two", Run: func(s *racetest.Stage) {
		s.InTurn(
			func() { *s.Data = 1; race.ReleaseMerge(racetest.Addr(s.A)) },
			func() { race.ReleaseMerge(racetest.Addr(s.B)) },
			func() { race.Acquire(racetest.Addr(s.B)); *s.Data = 2 })
	}},
	{Name: "released anew by another", Report: true, Run: func(s *racetest.Stage) {
		s.InTurn(
			func() { *s.Data = 1; race.Release(racetest.Addr(s.A)) },
			func() { race.Release(racetest.Addr(s.B)) },
			func() { race.Acquire(racetest.Addr(s.A)); *s.Data = 2 })
	}},
	{Name: "the word beside it", Report: true, Run: func(s *racetest.Stage) {
		s.InTurn(
			func() { *s.Data = 1; race.Release(racetest.Addr(s.A)) },
			func() { race.Acquire(racetest.Addr(s.B) + 4); *s.Data = 2 })
	}},
	{Name: "forgotten", Report: true, Run: func(s *racetest.Stage) {
		a := racetest.Addr(s.A)
		s.InTurn(
			func() { *s.Data = 1; race.Release(a); race.Forget(a, a+1) },
			func() { race.Acquire(racetest.Addr(s.B)); *s.Data = 2 })
	}},
	{Name: "forgotten beside it", Run: func(s *racetest.Stage) {
		a := racetest.Addr(s.A)
		s.InTurn(
			func() { *s.Data = 1; race.Release(a); race.Forget(a-8, a); race.Forget(a+1, a+8) },
			func() { race.Acquire(racetest.Addr(s.B)); *s.Data = 2 })
	}},
}

func init() { racetest.Register(announcements...) }

func TestTheDetectorReports(t *testing.T) { racetest.Judge(t, announcements...) } // T60

func TestForgetSparesTheNeighbours(t *testing.T) {
	if !race.Enabled {
		t.Skip("needs -race")
	}
	for _, addr := range []uintptr{0x1000, 0x2000, 0x3000} {
		race.Release(addr)
	}
	race.Forget(0x2000, 0x3000)
	for addr, want := range map[uintptr]bool{0x1000: true, 0x2000: false, 0x3000: true} {
		if race.Known(addr) != want {
			t.Errorf("shadow of %#x: %v", addr, !want)
		}
	}
	race.Forget(0, 0x4000)
}
