package supervise

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// faults are the makers of trouble. Each draws its decisions from the seed alone, never
// from what happens: whom, where, and when from the beginning of the run on. So the same
// seed makes the same list; how far a run gets in it, and what its victims are doing
// just then, is up to the machine.
type faults struct {
	killer  *killer
	stopper *stopper

	mu           sync.Mutex
	calm, paused bool
}

func newFaults(c *crew, o Options) *faults {
	return &faults{killer: newKiller(c, o.KillRate, o.Seed), stopper: newStopper(c, o.StopRate, o.Seed)}
}

// run makes trouble until ctx ends, and puts right what can be put right.
func (f *faults) run(ctx context.Context) {
	begin := time.Now()
	var both sync.WaitGroup
	for _, run := range []func(context.Context, time.Time){f.killer.run, f.stopper.run} {
		both.Add(1)
		go func() {
			defer both.Done()
			run(ctx, begin)
		}()
	}
	both.Wait()
}

// hold and stay keep everybody from harm, for two reasons that do not know of each
// other: all are parked, or the scenario wants it calm. When they return, nothing is
// being done to anybody, and whoever was stopped goes on.
func (f *faults) hold(on bool) { f.rest(&f.paused, on) }
func (f *faults) stay(on bool) { f.rest(&f.calm, on) }

func (f *faults) rest(reason *bool, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*reason = on
	f.killer.rest(f.calm || f.paused)
	f.stopper.rest(f.calm || f.paused)
}

// tooLate is by how much a decision may miss its time. What the machine, or the decision
// before, has held up for longer is left out: many at once would be another test.
const tooLate = 50 * time.Millisecond

// until waits for a time since begin. go on: ctx has not ended; late: it is too late.
func until(ctx context.Context, begin time.Time, at time.Duration) (goOn, late bool) {
	goOn = sleep(ctx, time.Until(begin.Add(at)))
	return goOn, time.Since(begin)-at > tooLate
}

// gaps are the times of decisions: exponential, so that there is no rhythm that the
// workers could fall into.
type gaps struct {
	rand *rand.Rand
	mean time.Duration // 0: there are none
	at   time.Duration
}

func newGaps(rate float64, seed, stream uint64) gaps {
	g := gaps{rand: rand.New(rand.NewPCG(seed, stream))}
	if rate > 0 {
		g.mean = time.Duration(float64(time.Second) / rate)
	}
	return g
}

func (g *gaps) next() time.Duration {
	g.at += time.Duration(float64(g.mean) * min(g.rand.ExpFloat64(), 4))
	return g.at
}

// sleep waits for d; false: ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
