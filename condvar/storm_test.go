// What holds in a storm: several processes that make and take tokens under one
// mutex and two Conds, signals and broadcasts mixed, half of all waits with a
// time-out of 0 to 1000 µs, and processes that are killed and replaced (T14, T44,
// T45, T46, T49):
//   - whatever WaitContext returns, the mutex is held, and by nobody else;
//   - each token made is taken once, or there at the end;
//   - no signal is swallowed, by one that gives up or by one that dies: the storm never
//     stands still for long, and nobody is stuck in it.
//
// The storm blows with all kinds of processes mixed, and with each unusual kind by
// itself: without futex_waitv (P-K13), with one P.
package condvar

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"interlock/internal/proctest"
	"interlock/mutex"
)

const (
	stormProcs = 4
	stormEach  = 6 // goroutines of a process: half of them make, half take
	room       = 3 // tokens that may lie there
)

// A ledger counts twice, so that a death between the two shows as one, and a lost
// update as what it is. The mutex guards it.
type ledger struct {
	n    uint64
	mine [stormProcs]uint64
}

func (l *ledger) sum() (n uint64) {
	for _, d := range l.mine {
		n += d
	}
	return n
}

func (l *ledger) mend() error {
	if l.n != l.sum() && l.n != l.sum()+1 {
		return fmt.Errorf("%d on the one side, %d on the other", l.n, l.sum())
	}
	l.mine[0] += l.n - l.sum() // what the dead one had done, it did
	return nil
}

// A sea is what a storm has in shared memory.
type sea struct {
	m                 mutex.Mutex
	_                 [24]byte
	notFull, notEmpty Cond
	_                 [32]byte
	made, taken       ledger
	inside            uint64 // pid<<16 and goroutine of who is inside
	stop              atomic.Bool
	_                 [7]byte
	moved             atomic.Int64 // taken.n, for the test
	gaveUp, repaired  atomic.Int64
}

// repair finishes what the dead one began, and signals in its place.
func (s *sea) repair(pid int) error {
	if in := int(s.inside >> 16); in != 0 && in != pid || pid == os.Getpid() {
		return fmt.Errorf("a repair for process %d, and process %d was inside", pid, in)
	}
	if err := s.made.mend(); err != nil {
		return fmt.Errorf("made: %w", err)
	}
	if err := s.taken.mend(); err != nil {
		return fmt.Errorf("taken: %w", err)
	}
	s.inside = 0
	s.repaired.Add(1)
	s.notFull.Broadcast()
	s.notEmpty.Broadcast()
	return nil
}

func (s *sea) enter(c *proctest.Child, me uint64) {
	if pid, held := s.m.Owner(); !held || pid != os.Getpid() || s.inside != 0 {
		c.Fatalf("%#x is inside and so is %#x; the owner is %d, %v", me, s.inside, pid, held)
	}
	s.inside = me
}

// wait waits until ready, once in two with a time-out; it reports whether it is.
func (s *sea) wait(c *proctest.Child, cond *Cond, me uint64, hurry bool, ready func() bool) bool {
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if hurry {
		ctx, cancel = context.WithTimeout(ctx, rand.N(time.Millisecond))
	}
	defer cancel()
	for !ready() && !s.stop.Load() {
		s.inside = 0
		err := cond.WaitContext(ctx, &s.m)
		s.enter(c, me)
		if err != nil && err == ctx.Err() {
			s.gaveUp.Add(1)
			return ready()
		}
		c.Check(err)
	}
	return ready()
}

// sail is one goroutine's part until the stop.
func (s *sea) sail(c *proctest.Child, who, g int) {
	me := uint64(os.Getpid())<<16 + uint64(g) + 1
	full := func() bool { return s.made.n-s.taken.n < room }
	empty := func() bool { return s.made.n != s.taken.n }
	for i := 0; !s.stop.Load(); i++ {
		mine, here, there, ready := &s.made, &s.notFull, &s.notEmpty, full
		if g%2 == 1 {
			mine, here, there, ready = &s.taken, &s.notEmpty, &s.notFull, empty
		}
		s.m.Lock()
		s.enter(c, me)
		if s.wait(c, here, me, i%2 == 0, ready) && !s.stop.Load() {
			mine.n++
			if i%32 == 0 {
				time.Sleep(100 * time.Microsecond) // die here
			}
			mine.mine[who]++
			s.moved.Store(int64(s.taken.n))
			if i%8 == 0 {
				there.Broadcast()
			} else if i%8 < 4 {
				there.Signal()
			}
		}
		s.inside = 0
		s.m.Unlock()
		if i%8 >= 4 {
			there.Signal() // not holding it
		}
	}
}

func init() {
	// sailor WHO: its goroutines sail until the stop.
	proctest.Register("sailor", func(c *proctest.Child) {
		s := seaAt(c.Memory(0))
		s.m.OnOwnerDeath(s.repair)
		c.Say("ready")
		var all sync.WaitGroup
		for g := range stormEach {
			all.Add(1)
			go func() {
				defer all.Done()
				s.sail(c, c.Int(0), g)
			}()
		}
		all.Wait()
	})
}

func crew(t *testing.T, f *os.File, storm proctest.Storm, who int) *proctest.Proc {
	t.Helper()
	return child(t, f, "sailor", "ready", append(storm.Options(who), proctest.Args(strconv.Itoa(who)))...)
}

// blow lets a storm go on for so long, kills and replaces, and returns the longest
// time in which no token moved.
func (s *sea) blow(t *testing.T, f *os.File, storm proctest.Storm, lasts time.Duration) (kills int, still time.Duration) {
	t.Helper()
	var all [stormProcs]*proctest.Proc
	for i := range all {
		all[i] = crew(t, f, storm, i)
	}
	for end := time.Now().Add(lasts); time.Now().Before(end) || s.gaveUp.Load() == 0; kills++ {
		seen, since := s.moved.Load(), time.Now()
		proctest.Until(t, "a token to move", func() bool { return s.moved.Load() != seen })
		still = max(still, time.Since(since))
		time.Sleep(rand.N(40 * time.Millisecond)) // kills at random times, not at events
		i := rand.IntN(len(all))
		all[i].Kill()
		all[i] = crew(t, f, storm, i)
	}
	seen := s.moved.Load()
	proctest.Until(t, "a token to move", func() bool { return s.moved.Load() != seen })
	s.m.Lock()
	s.stop.Store(true)
	s.m.Unlock()
	s.notFull.Broadcast()
	s.notEmpty.Broadcast()
	for _, p := range all {
		p.WaitExit(0)
	}
	return kills, still
}

func TestAStormOfTimeoutsAndDeaths(t *testing.T) { // T14, T44, T45, T46, T49
	lasts := proctest.Lasts(t, 700*time.Millisecond, time.Minute)
	for _, storm := range proctest.Storms {
		t.Run(storm.Name, func(t *testing.T) {
			f, mem := proctest.Memfd(t, os.Getpagesize())
			s := seaAt(mem)
			s.m.OnOwnerDeath(s.repair)
			proctest.Watchdog(t, lasts+time.Minute, s.String)
			kills, still := s.blow(t, f, storm, lasts)
			s.m.Lock()
			defer s.m.Unlock()
			t.Logf("%d tokens, %d gave up, %d kills, %d repairs; at most %v without a move (promised: %v)",
				s.taken.n, s.gaveUp.Load(), kills, s.repaired.Load(), still.Round(time.Millisecond), proctest.Promise)
			if s.made.n != s.made.sum() || s.taken.n != s.taken.sum() || s.made.n-s.taken.n > room {
				t.Errorf("wrong: %v", s)
			}
			if proctest.TooLate(still) {
				t.Errorf("nothing moved for %v", still)
			}
		})
	}
}

func (s *sea) String() string {
	pid, held := s.m.Owner()
	return fmt.Sprintf("owner %d held %v; made %d (%d) taken %d (%d); not full: seq %d waiters %d; not empty: seq %d waiters %d",
		pid, held, s.made.n, s.made.sum(), s.taken.n, s.taken.sum(), s.notFull.seq.Load(), s.notFull.waiters.Load(),
		s.notEmpty.seq.Load(), s.notEmpty.waiters.Load())
}
