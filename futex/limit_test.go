// What holds for SleepFor, with futex_waitv and without:
//   - it ends no earlier than its limit, unless by a wake, a rouse or a change (T03);
//   - a limit that is over already blocks nobody, and hides nothing.
package futex

import (
	"errors"
	"math"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

func TestALimitIsNeverEarly(t *testing.T) { // T03, P-G12
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	bothWays(t, func(t *testing.T) {
		const lanes = 10
		late := make([]time.Duration, 100)
		var all sync.WaitGroup
		for lane := range lanes {
			all.Add(1)
			go func() {
				defer all.Done()
				for i := lane; i < len(late); i += lanes {
					limit := time.Duration(i) * 300 * time.Microsecond // 0 to three slices
					start := time.Now()
					why, err := new(Sleeper).SleepFor(word(mem, 4*i), 0, limit)
					late[i] = time.Since(start) - limit
					if why != Expired || err != nil || late[i] < 0 {
						t.Errorf("a sleep of %v: %v, %v, %v after its end", limit, why, err, late[i])
					}
				}
			}()
		}
		all.Wait()
		slices.Sort(late)
		t.Logf("late: median %v, p99 %v, worst %v", late[50], late[98], late[99])
		if late[50] > time.Second { // the worst says more about the machine
			t.Errorf("half the sleeps ended %v late", late[50])
		}
	})
}

func TestALimitThatIsOver(t *testing.T) { // T03
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	w := word(mem, 0)
	bothWays(t, func(t *testing.T) {
		s := new(Sleeper)
		for _, limit := range []time.Duration{0, -1, math.MinInt64} {
			expectSleep(t, s, 0, limit, mem, Expired)
			expectSleep(t, s, 1, limit, mem, Changed)
			s.Rouse()
			expectSleep(t, s, 1, limit, mem, Roused)
			if _, err := s.SleepFor(nowhere(), 0, limit); !errors.Is(err, unix.EFAULT) {
				t.Errorf("limit %v, no word: %v", limit, err)
			}
		}
		expectWake(t, w, 1, 0)
	})
}

func expectSleep(t *testing.T, s *Sleeper, val uint32, limit time.Duration, mem []byte, want Why) {
	t.Helper()
	if why, err := s.SleepFor(word(mem, 0), val, limit); why != want || err != nil {
		t.Errorf("SleepFor(value %d, %v) = %v, %v; want %v", val, limit, why, err, want)
	}
}

func TestALongLimit(t *testing.T) { // T03
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	w := word(mem, 0)
	bothWays(t, func(t *testing.T) {
		s := new(Sleeper)
		for _, limit := range []time.Duration{time.Hour, 1 << 62, math.MaxInt64} {
			ended := make(chan Why)
			sleep := func() {
				why, _ := s.SleepFor(w, 0, limit)
				ended <- why
			}
			go sleep()
			proctest.AwaitSleepers(t, os.Getpid(), 1)
			s.Rouse()
			if why := <-ended; why != Roused {
				t.Errorf("limit %v: %v after a Rouse", limit, why)
			}
			go sleep()
			proctest.AwaitSleepers(t, os.Getpid(), 1)
			expectWakeOne(t, w)
			if why := <-ended; why != Woken {
				t.Errorf("limit %v: %v after a wake", limit, why)
			}
		}
	})
}

// expectWakeOne wakes one sleeper, who may be between two slices just now.
func expectWakeOne(t *testing.T, w *atomic.Uint32) {
	t.Helper()
	proctest.Until(t, "somebody to wake", func() bool {
		n, err := Wake(w, 1)
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
}
