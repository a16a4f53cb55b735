package supervise

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/scenario"
)

// faults are the makers of trouble. Each draws its decisions from the seed alone, never
// from what happens: whom, where, and when from the beginning of the run on. So the same
// seed makes the same list; how far a run gets in it, and what its victims are doing
// just then, is up to the machine.
type faults struct {
	killer  *killer
	stopper *stopper
	points  *arena.Points
	chaos   uint32 // the delays that are wanted; 0: none

	mu           sync.Mutex
	running      bool
	calm, paused bool
}

func newFaults(c *crew, o Options) *faults {
	f := &faults{killer: newKiller(c, o), stopper: newStopper(c, o.StopRate, o.Seed), points: c.arena.Points()}
	if o.Chaos != 0 && !c.plan.NoKills {
		f.chaos = o.Chaos
		victim := rand.New(rand.NewPCG(o.Seed, 0x766963746d)).IntN(len(c.hands))
		f.points.Victim.Store(uint32(victim) + 1)
		if o.Chaos >= scenario.ChaosHeavy {
			f.points.Idle.Store(1)
		}
		c.journal.note("worker %d and its successors have a low priority", victim)
	}
	return f
}

// run makes trouble until ctx ends, and puts right what can be put right.
func (f *faults) run(ctx context.Context) {
	begin := time.Now()
	f.rest(&f.running, true)
	defer f.rest(&f.running, false)
	var both sync.WaitGroup
	for _, run := range []func(context.Context, time.Time){f.killer.run, f.stopper.run} {
		both.Add(1)
		go func() {
			defer both.Done()
			run(ctx, begin)
		}()
	}
	both.Wait()
	<-ctx.Done() // there may be nothing but delays
}

// hold and stay keep everybody from harm, for two reasons that do not know of each
// other: all are parked, or the scenario wants it calm. When they return, nothing is
// being done to anybody, whoever was stopped goes on, and delays come to their end.
func (f *faults) hold(on bool) { f.rest(&f.paused, on) }
func (f *faults) stay(on bool) { f.rest(&f.calm, on) }

func (f *faults) rest(reason *bool, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*reason = on
	resting := f.calm || f.paused || !f.running
	f.killer.rest(resting)
	f.stopper.rest(resting)
	if resting {
		f.points.Chaos.Store(0)
	} else {
		f.points.Chaos.Store(f.chaos)
	}
}

// tooLate is by how much a decision may miss its time. What the machine, or the decision
// before, has held up for longer is left out: many at once would be another test.
const tooLate = 200 * time.Millisecond

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
