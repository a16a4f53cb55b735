package supervise

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// killer kills workers, rate times a second on average. Half of the kills hit
// whatever the worker is doing, any instruction of the primitives included;
// the other half are aimed: the victim is made to stand still inside the lock,
// so that there is an orphan for certain, with others asleep on it.
type killer struct {
	crew *crew
	rand *rand.Rand
	mean time.Duration

	mu     sync.Mutex // held while it strikes
	calm   bool       // wanted by the scenario
	paused bool       // everybody is parked, or the run is over
}

const (
	trapPatience = 20 * time.Millisecond // for the victim to walk into the trap
	trapLinger   = 2 * time.Millisecond  // at most, for others to queue up behind it
)

func newKiller(c *crew, rate float64, seed uint64) *killer {
	k := &killer{crew: c, rand: rand.New(rand.NewPCG(seed, 0x6b696c6c))}
	if most := c.plan.MostKills; most > 0 {
		rate = min(rate, most)
	}
	if rate > 0 {
		k.mean = time.Duration(float64(time.Second) / rate)
	}
	return k
}

// run kills until ctx ends.
func (k *killer) run(ctx context.Context) {
	if k.mean == 0 || k.crew.plan.NoKills {
		return
	}
	for {
		// Exponential gaps: no rhythm that the workers could fall into.
		gap := time.Duration(float64(k.mean) * min(k.rand.ExpFloat64(), 4))
		if !sleep(ctx, gap) {
			return
		}
		k.mu.Lock()
		if !k.calm && !k.paused && ctx.Err() == nil {
			k.strike(ctx)
		}
		k.mu.Unlock()
	}
}

// hold and stay keep the killer from striking, for two reasons that do not
// know of each other. When they return no strike is under way.
func (k *killer) hold(on bool) {
	k.mu.Lock()
	k.paused = on
	k.mu.Unlock()
}

func (k *killer) stay(calm bool) {
	k.mu.Lock()
	k.calm = calm
	k.mu.Unlock()
}

func (k *killer) strike(ctx context.Context) {
	slot := k.rand.IntN(len(k.crew.hands))
	traps := k.crew.plan.Traps
	aimed := len(traps) > 0 && k.rand.IntN(2) == 0
	var label uint32
	var linger time.Duration
	if aimed {
		label = traps[k.rand.IntN(len(traps))]
		linger = time.Duration(k.rand.Int64N(int64(trapLinger)))
	}
	if !k.crew.ready(slot) {
		return // it is still starting; the next strike will find it
	}
	if !aimed {
		k.crew.kill(slot, false)
		return
	}
	s := k.crew.arena.Slot(slot)
	s.Trap.Store(label)
	for t := time.Now(); time.Since(t) < trapPatience && s.Trapped.Load() == 0; {
		if !sleep(ctx, 50*time.Microsecond) {
			break
		}
	}
	// Not trapped, or not surely: kill it all the same, wherever it is.
	held := false
	if s.Trapped.Load() != 0 {
		sleep(ctx, linger)
		held = k.holds(label)
	}
	k.crew.kill(slot, held)
	s.Trap.Store(0)
}

// holds says whether a lane trapped at label is inside the lock.
func (k *killer) holds(label uint32) bool {
	for _, l := range k.crew.plan.Held {
		if l == label {
			return true
		}
	}
	return false
}

// sleep waits for d; false: ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if ctx.Err() != nil {
		return false
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
