package supervise

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// killer kills workers, rate times a second on average. Half of the kills hit
// whatever the worker is doing, any instruction of the primitives included;
// the other half are aimed: the victim is made to stand still inside the lock,
// so that there is an orphan for certain, with others asleep on it.
type killer struct {
	crew *crew
	gaps gaps

	mu      sync.Mutex // held while it strikes
	resting bool
}

// trapLinger is how long a victim stands in the trap, at most, for others to queue up
// behind it.
const trapLinger = 2 * time.Millisecond

// strike is one decision of the killer.
type strike struct {
	at     time.Duration // since the beginning of the run
	slot   int
	label  uint32 // where the victim is made to stand still; 0: wherever it is
	linger time.Duration
}

func newKiller(c *crew, rate float64, seed uint64) *killer {
	if most := c.plan.MostKills; most > 0 {
		rate = min(rate, most)
	}
	return &killer{crew: c, gaps: newGaps(rate, seed, 0x6b696c6c)}
}

// decide draws the next strike.
func (k *killer) decide() strike {
	r := k.gaps.rand
	d := strike{at: k.gaps.next(), slot: r.IntN(len(k.crew.hands))}
	if traps := k.crew.plan.Traps; len(traps) > 0 && r.IntN(2) == 0 {
		d.label = traps[r.IntN(len(traps))]
		d.linger = time.Duration(r.Int64N(int64(trapLinger)))
	}
	return d
}

// run kills until ctx ends.
func (k *killer) run(ctx context.Context, begin time.Time) {
	if k.gaps.mean == 0 || k.crew.plan.NoKills {
		return
	}
	for {
		d := k.decide()
		goOn, late := until(ctx, begin, d.at)
		if !goOn {
			return
		}
		k.mu.Lock()
		if !k.resting && !late && ctx.Err() == nil {
			k.strike(ctx, d)
		}
		k.mu.Unlock()
	}
}

// rest keeps the killer from striking. When it returns no strike is under way.
func (k *killer) rest(on bool) {
	k.mu.Lock()
	k.resting = on
	k.mu.Unlock()
}

func (k *killer) strike(ctx context.Context, d strike) {
	why := fmt.Sprintf("due %.6fs", d.at.Seconds())
	if d.label == 0 {
		k.crew.kill(d.slot, false, why)
		return
	}
	why += fmt.Sprintf(" at %q", k.crew.plan.LabelName(d.label))
	s := k.crew.lay(d.slot, d.label)
	if s == nil { // it is still starting, or stands in another's trap
		k.crew.kill(d.slot, false, why+", which it was not waited for")
		return
	}
	defer s.lift()
	if await(ctx, []*snare{s}) == nil {
		k.crew.kill(d.slot, false, why+", where it did not come")
		return
	}
	sleep(ctx, d.linger)
	k.crew.kill(d.slot, slices.Contains(k.crew.plan.Held, d.label), why)
}
