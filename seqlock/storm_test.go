// What holds in a storm: several processes that Update and Store, half of it with a
// time-out of 0 to 1000 µs, and that are killed and replaced (T14, T15, T52, T53):
//   - no Update is lost and none is done twice, whoever dies where;
//   - a Store or an Update that gave up has changed nothing, and holds nothing;
//   - no load is torn, and none sees what was given up;
//   - nobody is stuck: at the stop all come to their end.
//
// The storm blows with all kinds of processes mixed, and with each unusual kind by
// itself: without futex_waitv (P-K13), with one P.
package seqlock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
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
	stormEach  = 4 // goroutines of a process
)

// A tally is kept by the Updates of one value, inside of them, hence one at a time.
// It is ahead of the value by one where a process died before its Update was done.
type tally struct {
	n     atomic.Uint64
	ahead atomic.Int64 // how often it was found so
}

// A sea is what a storm has in shared memory.
type sea struct {
	mender  mutex.Mutex // who stores what a dead Update left torn
	_       [24]byte
	counted Seqlock[b1m] // so large that some die in the write
	_       [64]byte
	doubled DoubleBuffer[b64k]
	_       [64]byte
	stored  Seqlock[b4k]
	_       [64]byte
	buffer  DoubleBuffer[b4k]
	_       [64]byte
	tallies [2]tally

	stop                atomic.Int64
	done, gaveUp, mends atomic.Int64
}

// countUp is one Update, which must find what the one before left.
func countUp[T any, P payload[T]](ctx context.Context, v store[T], t *tally) (wrong string, err error) {
	err = v.Update(ctx, func(v *T) {
		n, whole := P(v).read()
		switch seen := t.n.Load(); {
		case !whole:
			wrong = "torn inside of Update"
		case n+1 == seen:
			t.ahead.Add(1)
		case n != seen:
			wrong = fmt.Sprintf("version %d after %d updates", n, seen)
		}
		t.n.Store(n + 1)
		P(v).fill(n + 1)
	})
	return wrong, err
}

// isWhole is thrown out of an Update, which then changes nothing.
const isWhole = "whole"

// mend stores the version before the Update that died in its write, which was after
// its tally. While the value is torn nobody updates it. It may be whole again, by
// another mender.
func (s *sea) mend(c *proctest.Child) {
	s.mender.Lock()
	defer s.mender.Unlock()
	defer func() {
		if r := recover(); r != nil && r != isWhole {
			panic(r)
		}
	}()
	err := s.counted.Update(context.Background(), func(*b1m) { panic(isWhole) })
	if !errors.Is(err, ErrWriterDead) {
		c.Fatalf("Update of a torn value: %v", err)
	}
	v := new(b1m)
	v.fill(s.tallies[0].n.Load() - 1)
	c.Check(s.counted.Store(context.Background(), v))
	s.mends.Add(1)
}

// put stores an id of its own, and if it gave up looks whether somebody sees it.
func (s *sea) put(ctx context.Context, c *proctest.Child, v store[b4k], id uint64) error {
	mine, seen := new(b4k), new(b4k)
	mine.fill(id)
	err := v.Store(ctx, mine)
	if err != nil && err != ctx.Err() {
		return err
	}
	if e := v.load(context.Background(), seen); e == nil {
		n, whole := seen.read()
		if !whole || err != nil && n == id {
			c.Fatalf("Store: %v; then a load: version %d of %d, whole %v", err, n, id, whole)
		}
	} else if !errors.Is(e, ErrWriterDead) {
		return e
	}
	return err
}

// sail is one goroutine's part until the stop.
func (s *sea) sail(c *proctest.Child, who, g int) {
	for i := uint64(0); s.stop.Load() == 0; i++ {
		ctx, cancel := context.Background(), context.CancelFunc(func() {})
		if i%2 == 0 {
			ctx, cancel = context.WithTimeout(ctx, rand.N(time.Millisecond))
		}
		id := uint64(os.Getpid())<<40 | uint64(g)<<32 | i
		var wrong string
		var err error
		switch rand.N(4) {
		case 0:
			if wrong, err = countUp[b1m](ctx, &s.counted, &s.tallies[0]); errors.Is(err, ErrWriterDead) {
				s.mend(c)
				err = nil
			}
		case 1:
			wrong, err = countUp[b64k](ctx, &s.doubled, &s.tallies[1])
		case 2:
			err = s.put(ctx, c, &s.stored, id)
		case 3:
			err = s.put(ctx, c, &s.buffer, id)
		}
		switch {
		case wrong != "":
			c.Fatalf("%s", wrong)
		case err == nil:
			s.done.Add(1)
		case err == ctx.Err():
			s.gaveUp.Add(1)
		default:
			c.Fatalf("%v", err)
		}
		cancel()
	}
}

func init() {
	// sailor WHO: its goroutines sail until the stop.
	proctest.Register("sailor", func(c *proctest.Child) {
		s := lay[sea](c.Memory(0))
		s.mender.OnOwnerDeath(func(int) error { return nil })
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

// victim chooses who is to die: at a random time anybody, or, every other time, who is
// just writing.
func (s *sea) victim(all []*proctest.Proc, kills int) int {
	time.Sleep(rand.N(40 * time.Millisecond)) // at no event
	i := rand.IntN(len(all))
	for patience := time.Now().Add(20 * time.Millisecond); kills%2 == 0 && time.Now().Before(patience); {
		if s.counted.seq.Load()%2 == 0 {
			continue
		}
		pid, _ := s.counted.mu.Owner()
		if who := slices.IndexFunc(all, func(p *proctest.Proc) bool { return p.Pid == pid }); who >= 0 {
			return who
		}
	}
	return i
}

func TestAStormOfTimeoutsAndDeaths(t *testing.T) { // T14, T15, T52, T53
	lasts := proctest.Lasts(t, 700*time.Millisecond, time.Minute)
	for _, storm := range proctest.Storms {
		t.Run(storm.Name, func(t *testing.T) {
			f, mem := proctest.Memfd(t, (sizeOf[sea]()+4095)&^4095)
			s := lay[sea](mem)
			put[b1m](t, &s.counted, 0)
			put[b64k](t, &s.doubled, 0)
			put[b4k](t, &s.stored, 0)
			put[b4k](t, &s.buffer, 0)
			proctest.Watchdog(t, lasts+time.Minute, func() string {
				return fmt.Sprint(&s.counted, "; ", &s.doubled, "; ", &s.stored, "; ", &s.buffer)
			})
			crew := func(who int) *proctest.Proc {
				return start(t, f, "sailor", "ready", append(storm.Options(who), proctest.Args(strconv.Itoa(who)))...)
			}
			var all [stormProcs]*proctest.Proc
			for i := range all {
				all[i] = crew(i)
			}
			kills := 0
			idle := func() bool { return s.done.Load() == 0 || s.gaveUp.Load() == 0 } // so far
			for end := time.Now().Add(lasts); time.Now().Before(end) || idle(); kills++ {
				i := s.victim(all[:], kills)
				all[i].Kill()
				all[i] = crew(i)
			}
			s.stop.Store(1)
			for _, p := range all {
				p.WaitExit(0)
			}
			s.ends(t, kills)
		})
	}
}

// lastly checks a value that was counted up.
func lastly[T any, P payload[T]](t *testing.T, v store[T], tally *tally, kills int) {
	t.Helper()
	err := v.Update(context.Background(), func(v *T) {
		n, whole := P(v).read()
		if !whole || n != tally.n.Load() && n+1 != tally.n.Load() {
			t.Errorf("version %d, whole %v, after %d updates", n, whole, tally.n.Load())
		}
	})
	if err != nil && !errors.Is(err, ErrWriterDead) {
		t.Error(err)
	}
	if n := tally.ahead.Load(); n > int64(kills) {
		t.Errorf("%d updates did not come to their end, with %d kills", n, kills)
	}
	put[T, P](t, v, 7)
	expect[T, P](t, v, 7)
}

// ends checks what is left after a storm.
func (s *sea) ends(t *testing.T, kills int) {
	t.Helper()
	lastly[b1m](t, &s.counted, &s.tallies[0], kills)
	lastly[b64k](t, &s.doubled, &s.tallies[1], kills)
	for _, v := range []store[b4k]{&s.stored, &s.buffer} {
		put[b4k](t, v, 7)
		expect[b4k](t, v, 7)
	}
	t.Logf("%d writes, %d gave up, %d kills; %d and %d updates died at their end, %d left a torn value",
		s.done.Load(), s.gaveUp.Load(), kills, s.tallies[0].ahead.Load(), s.tallies[1].ahead.Load(), s.mends.Load())
}
