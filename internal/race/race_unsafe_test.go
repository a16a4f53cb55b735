// What holds for the announcements (T60), each in a process of its own:
//   - heap data guarded by a lock in shared memory that announces is not reported;
//   - the same data under the same lock without announcements is, so the test
//     above can fail;
//   - the look-up of a shadow orders nothing by itself;
//   - what was forgotten orders nothing any more.
package race_test

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/race"
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

// sharedWord returns a zero word outside the Go heap.
func sharedWord(c *proctest.Child) *atomic.Uint32 {
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON)
	c.Check(err)
	return (*atomic.Uint32)(unsafe.Pointer(&mem[0]))
}

// count has two goroutines add to heap data under a lock.
func count(announce bool) func(c *proctest.Child) {
	return func(c *proctest.Child) {
		lock := spinLock{sharedWord(c), announce}
		var ends atomic.Int32 // ends; its own ordering comes after all accesses
		n := new(int)
		for range 2 {
			go func() {
				for range 1000 {
					lock.Lock()
					*n++
					lock.Unlock()
				}
				ends.Add(1)
			}()
		}
		for ends.Load() != 2 {
			runtime.Gosched()
		}
		if *n != 2000 {
			c.Fatalf("the lock does not lock: %d", *n)
		}
	}
}

// inTurn runs first and then second in goroutines that the detector does not see
// ordered: the baton is in shared memory.
func inTurn(c *proctest.Child, first, second func()) {
	baton := sharedWord(c)
	ended := make(chan bool)
	go func() {
		first()
		baton.Store(1)
		ended <- true
	}()
	go func() {
		for baton.Load() != 1 {
			runtime.Gosched()
		}
		second()
		ended <- true
	}()
	<-ended
	<-ended
}

func init() {
	proctest.Register("announced", count(true))
	proctest.Register("unannounced", count(false))
	proctest.Register("first look-up", func(c *proctest.Child) {
		const addr = 0x7000
		n := new(int)
		inTurn(c,
			func() { *n = 1; race.Acquire(addr) }, // makes the shadow, releases nothing
			func() { race.Acquire(addr); *n = 2 })
	})
	proctest.Register("released", func(c *proctest.Child) {
		const addr = 0x7000
		n := new(int)
		inTurn(c,
			func() { *n = 1; race.ReleaseMerge(addr) },
			func() { race.Acquire(addr); *n = 2 })
	})
	proctest.Register("forgotten", func(c *proctest.Child) {
		const addr = 0x7000
		n := new(int)
		inTurn(c,
			func() { *n = 1; race.Release(addr); race.Forget(addr, addr+1) },
			func() { race.Acquire(addr); *n = 2 })
	})
}

func TestTheDetectorReports(t *testing.T) {
	for name, want := range map[string]bool{
		"announced":     false,
		"unannounced":   true,
		"first look-up": true,
		"released":      false,
		"forgotten":     true,
	} {
		t.Run(name, func(t *testing.T) {
			if !race.Enabled {
				proctest.Excuse(name)
				t.Skip("needs -race")
			}
			p := proctest.Start(t, name, proctest.MayRace())
			p.Wait()
			if got := strings.Contains(p.Output(), "WARNING: DATA RACE"); got != want {
				t.Fatalf("reported: %v, want %v\n%s", got, want, p.Output())
			}
		})
	}
}

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
