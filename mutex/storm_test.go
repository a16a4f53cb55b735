// What holds in a storm: several processes, half of all waits with a time-out of 0
// to 1000 µs, unlocks in between, and processes that are killed and replaced all
// the while (T14, T15, P-M10):
//   - one at a time is inside, and no increment is lost;
//   - who gave up does not hold: its process, where it has but one goroutine, is not
//     the owner;
//   - a repair is called for a dead owner only;
//   - nobody is stuck: at the stop all come to their end, and the word is 0. (How long
//     one waited that had no time-out is printed: between processes no order is
//     promised.)
//
// The storm blows with all kinds of processes mixed, and with each unusual kind by
// itself: without futex_waitv (P-K13), with one P.
package mutex

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"interlock/internal/proctest"
)

const stormProcs = 4

// A sea is what a storm has in shared memory; the mutex guards the plain words.
type sea struct {
	m      Mutex
	_      [24]byte
	inside uint64 // pid<<16 and goroutine of who is inside
	count  uint64 // is the sum of done, or one more while somebody is between the two
	done   [stormProcs]uint64

	stop     atomic.Bool
	_        [7]byte
	gaveUp   atomic.Int64
	repaired atomic.Int64
	longest  atomic.Int64 // wait without a time-out, in nanoseconds
}

func (s *sea) sum() (n uint64) {
	for _, d := range s.done {
		n += d
	}
	return n
}

// repair finishes what the dead one began: between the two additions at most.
func (s *sea) repair(pid int) error {
	if in := int(s.inside >> 16); in != 0 && in != pid || pid == os.Getpid() {
		return fmt.Errorf("a repair for process %d, and process %d was inside", pid, in)
	}
	if s.count != s.sum() && s.count != s.sum()+1 {
		return fmt.Errorf("the counter is %d after %d increments", s.count, s.sum())
	}
	s.inside, s.count = 0, s.sum()
	s.repaired.Add(1)
	return nil
}

// sail is one goroutine's part until the stop.
func (s *sea) sail(c *proctest.Child, who, g int, alone bool) {
	me := uint64(os.Getpid())<<16 + uint64(g) + 1
	for i := 0; !s.stop.Load(); i++ {
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		if i%2 == 0 {
			ctx, cancel = context.WithTimeout(ctx, rand.N(time.Millisecond))
		}
		start := proctest.Now()
		switch err := s.m.LockContext(ctx); {
		case err == nil:
			if d := proctest.Now() - start; d > s.longest.Load() {
				s.longest.Store(d) // holding the mutex
			}
			if s.inside != 0 || s.count != s.sum() {
				c.Fatalf("%#x is inside and so is %#x; the counter is %d after %d increments", me, s.inside, s.count, s.sum())
			}
			s.inside = me
			s.count++
			if i%16 == 0 {
				time.Sleep(200 * time.Microsecond) // let some give up, and die here
			}
			s.done[who]++
			if s.inside != me {
				c.Fatalf("%#x has come in with %#x inside", s.inside, me)
			}
			s.inside = 0
			s.m.Unlock()
		case errors.Is(err, context.DeadlineExceeded):
			s.gaveUp.Add(1)
			if pid, held := s.m.Owner(); alone && held && pid == os.Getpid() {
				c.Fatalf("it gave up, and holds the mutex: %s", describe(&s.m))
			}
		default:
			c.Fatalf("LockContext: %v", err)
		}
		cancel()
	}
}

func init() {
	// sailor WHO N: N goroutines sail until the stop.
	proctest.Register("sailor", func(c *proctest.Child) {
		s := at[sea](c.Memory(0), 0)
		s.m.OnOwnerDeath(s.repair)
		n := c.Int(1)
		c.Say("ready")
		var all sync.WaitGroup
		for g := range n {
			all.Add(1)
			go func() {
				defer all.Done()
				s.sail(c, c.Int(0), g, n == 1)
			}()
		}
		all.Wait()
	})
}

// crew starts one process of a storm: the first two have one goroutine each.
func crew(t *testing.T, f *os.File, storm proctest.Storm, who int) *proctest.Proc {
	t.Helper()
	n := 6
	if who < 2 {
		n = 1
	}
	p := proctest.Start(t, "sailor", append(storm.Options(who), proctest.Files(f), proctest.Args(strconv.Itoa(who), strconv.Itoa(n)))...)
	p.Expect("ready")
	return p
}

func TestAStormOfTimeoutsAndDeaths(t *testing.T) { // T14, T15, P-M10
	lasts := proctest.Lasts(t, 700*time.Millisecond, time.Minute)
	for _, storm := range proctest.Storms {
		t.Run(storm.Name, func(t *testing.T) {
			f, mem := proctest.Memfd(t, os.Getpagesize())
			s := at[sea](mem, 0)
			s.m.OnOwnerDeath(s.repair)
			proctest.Watchdog(t, lasts+time.Minute, func() string { return describe(&s.m) })
			var all [stormProcs]*proctest.Proc
			for i := range all {
				all[i] = crew(t, f, storm, i)
			}
			kills := 0
			idle := func() bool { return s.longest.Load() == 0 || s.gaveUp.Load() == 0 } // so far
			for end := time.Now().Add(lasts); time.Now().Before(end) || idle(); kills++ {
				time.Sleep(rand.N(40 * time.Millisecond)) // kills at random times, not at events
				i := rand.IntN(len(all))
				all[i].Kill()
				all[i] = crew(t, f, storm, i)
			}
			s.stop.Store(true)
			for _, p := range all {
				p.WaitExit(0)
			}
			mustHold(t, &s.m)
			longest := time.Duration(s.longest.Load())
			t.Logf("%d locks, %d gave up, %d kills, %d repairs; longest wait %v",
				s.count, s.gaveUp.Load(), kills, s.repaired.Load(), longest)
			if s.count != s.sum() || s.inside != 0 {
				t.Errorf("the counter is %d after %d increments, inside is %#x", s.count, s.sum(), s.inside)
			}
			s.m.Unlock()
			if v := s.m.word.Load(); v != 0 {
				t.Errorf("everybody has left: %s", describe(&s.m))
			}
		})
	}
}
