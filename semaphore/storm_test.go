// What holds in a storm: several processes, half of all waits with a time-out of 0
// to 1000 µs, the other half cancelled when the storm pauses, and processes that are
// killed and replaced (T14, T15, T35, T40, INV-S1):
//   - never more have a permit than there are;
//   - who gave up took none: in a pause without a death all permits are there;
//   - after a death exactly those of the dead are missing. One that died inside of
//     Acquire or Release may have had its permit or not, so may count either way;
//   - nobody is stuck: at each pause all come to rest, and at the stop to their end.
//
// The storm blows with all kinds of processes mixed, and with each unusual kind by
// itself: without futex_waitv (P-K13), with one P.
package semaphore

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
	"interlock/internal/spin"
)

const (
	stormProcs = 4
	stormEach  = 6 // goroutines of a process
)

// A sea is what a storm has in shared memory.
type sea struct {
	s      Semaphore
	_      [32]byte
	order  atomic.Int64 // 0, the number of a pause, or over
	inside atomic.Int64
	_      [48]byte
	turns  atomic.Int64
	gaveUp atomic.Int64
	state  [stormProcs][stormEach]atomic.Int64 // idle, unsure, holding, or resting in a pause
}

const over = -1

// restingIn is the state of a goroutine that rests in this pause, and in no other.
func restingIn(pause int64) int64 { return pause<<8 | resting }

// sail is one goroutine's part until the end. interrupt is done when a pause is.
func (s *sea) sail(c *proctest.Child, state *atomic.Int64, interrupt func() context.Context) {
	for i := 0; ; i++ {
		ctx, order := interrupt(), s.order.Load()
		if order == over {
			return
		}
		if order != 0 || ctx.Err() != nil {
			state.Store(restingIn(order))
			time.Sleep(100 * time.Microsecond)
			continue
		}
		cancel := context.CancelFunc(func() {})
		if i%2 == 0 {
			ctx, cancel = context.WithTimeout(ctx, rand.N(time.Millisecond))
		}
		state.Store(unsure)
		switch err := s.s.Acquire(ctx); {
		case err == nil:
			state.Store(holding)
			if n := s.inside.Add(1); n > permits {
				c.Fatalf("%d have a permit, of %d", n, permits)
			}
			s.turns.Add(1)
			if i%16 == 0 {
				time.Sleep(200 * time.Microsecond) // let some give up, and die here
			} else {
				spin.Pause(100)
			}
			s.inside.Add(-1)
			state.Store(unsure)
			c.Check(s.s.Release())
			state.Store(idle)
		case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
			state.Store(idle)
			s.gaveUp.Add(1)
		default:
			c.Fatalf("Acquire: %v", err)
		}
		cancel()
	}
}

func init() {
	// sailor WHO: its goroutines sail until the end.
	proctest.Register("sailor", func(c *proctest.Child) {
		s := seaAt(c.Memory(0))
		var current atomic.Pointer[context.Context]
		renew := func() context.CancelFunc {
			ctx, cancel := context.WithCancel(context.Background())
			current.Store(&ctx)
			return cancel
		}
		cancel := renew()
		go func() { // whoever waits at a pause is to rest
			for ; ; time.Sleep(time.Millisecond) {
				if s.order.Load() != 0 {
					cancel()
				} else if (*current.Load()).Err() != nil {
					cancel = renew()
				}
			}
		}()
		c.Say("ready")
		var all sync.WaitGroup
		for g := range stormEach {
			all.Add(1)
			go func() {
				defer all.Done()
				s.sail(c, &s.state[c.Int(0)][g], func() context.Context { return *current.Load() })
			}()
		}
		all.Wait()
	})
}

func crew(t *testing.T, f *os.File, storm proctest.Storm, who int) *proctest.Proc {
	t.Helper()
	p := proctest.Start(t, "sailor", append(storm.Options(who), proctest.Files(f), proctest.Args(strconv.Itoa(who)))...)
	p.Expect("ready")
	return p
}

// count tells how many goroutines of a process are in a state.
func (s *sea) count(who int, state int64) (n int) {
	for g := range s.state[who] {
		if s.state[who][g].Load() == state {
			n++
		}
	}
	return n
}

// calm pauses the storm and gives back what is missing. dead is who was killed
// before it, or -1.
func (s *sea) calm(t *testing.T, pause int64, dead int) (lost int) {
	t.Helper()
	s.order.Store(pause)
	proctest.Until(t, "the living to rest", func() bool {
		for i := range s.state {
			if i != dead && s.count(i, restingIn(pause)) != stormEach {
				return false
			}
		}
		return true
	})
	least, most := 0, 0
	if dead >= 0 {
		least = s.count(dead, holding)
		most = least + s.count(dead, unsure)
	}
	lost = permits - int(s.s.Value())
	if lost < least || lost > most {
		t.Fatalf("%d of %d permits are missing, %d to %d should; data %#x", lost, permits, least, most, s.s.data.Load())
	}
	for range lost {
		give(t, &s.s)
	}
	s.inside.Store(0)
	if dead >= 0 {
		for g := range s.state[dead] {
			s.state[dead][g].Store(idle)
		}
	}
	s.order.Store(0)
	return lost
}

func TestAStormOfTimeoutsAndDeaths(t *testing.T) { // T14, T15, T35, T40
	lasts := proctest.Lasts(t, 700*time.Millisecond, time.Minute)
	for _, storm := range proctest.Storms {
		t.Run(storm.Name, func(t *testing.T) {
			f, mem := proctest.Memfd(t, os.Getpagesize())
			s := seaAt(mem)
			s.s.Init(permits)
			proctest.Watchdog(t, lasts+time.Minute, func() string { return fmt.Sprintf("data %#x", s.s.data.Load()) })
			var all [stormProcs]*proctest.Proc
			for i := range all {
				all[i] = crew(t, f, storm, i)
			}
			kills, lost, pauses := 0, 0, int64(0)
			for stop := time.Now().Add(lasts); time.Now().Before(stop) || s.gaveUp.Load() == 0; {
				enough := s.turns.Load() + 20 + rand.Int64N(500)
				proctest.Until(t, "some turns", func() bool { return s.turns.Load() > enough })
				dead := -1
				if pauses++; pauses%2 == 0 {
					dead = rand.IntN(len(all))
					all[dead].Kill()
					kills++
				}
				lost += s.calm(t, pauses, dead)
				if dead >= 0 {
					all[dead] = crew(t, f, storm, dead)
				}
			}
			s.calm(t, pauses+1, -1)
			s.order.Store(over)
			for _, p := range all {
				p.WaitExit(0)
			}
			t.Logf("%d turns, %d gave up, %d kills, %d permits died and were restored",
				s.turns.Load(), s.gaveUp.Load(), kills, lost)
			expectValue(t, &s.s, permits)
			if n := s.s.waiters(); n > kills+stormProcs {
				t.Errorf("%d waiters are counted, and %d processes were killed", n, kills)
			}
		})
	}
}
