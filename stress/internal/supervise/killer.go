package supervise

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"interlock/stress/internal/arena"
)

// killer kills workers, rate times a second on average. Half of the kills hit
// whatever the worker is doing, any instruction of the primitives included;
// the other half are aimed: the victim is made to stand still inside the lock,
// so that there is an orphan for certain, with others asleep on it.
//
// If points are wanted, these are at each of the scenario's traps and of the library's
// marks in turn. Some points are passed only by who comes after a death; so half of the
// time there is one first.
type killer struct {
	crew    *crew
	gaps    gaps
	targets []uint32 // labels to stand still at
	inTurn  bool
	turn    int // of targets, if they are taken in turn

	mu      sync.Mutex // held while it strikes
	resting bool
	hits    map[uint32]int  // kills, by where the victim stood
	before  map[string]bool // marks at which somebody was killed in a scenario before

	left atomic.Int32    // targets that are not hit
	wide context.Context // ends when from now on only these are wanted
	hunt func()          // has it end
}

// trapLinger is how long a victim stands in the trap, at most, for others to queue up
// behind it.
const trapLinger = 2 * time.Millisecond

// strike is one decision of the killer.
type strike struct {
	at     time.Duration // since the beginning of the run
	slot   int
	label  uint32 // where the victim is made to stand still; 0: wherever it is
	bait   uint32 // not 0: slot is killed there, and then who first comes to label
	linger time.Duration
}

func newKiller(c *crew, o Options) *killer {
	rate := o.KillRate
	if most := c.plan.MostKills; most > 0 {
		rate = min(rate, most)
	}
	k := &killer{crew: c, gaps: newGaps(rate, o.Seed, 0x6b696c6c), targets: c.plan.Traps, hits: map[uint32]int{}, before: o.Covered}
	if o.Points {
		k.inTurn, k.targets = true, c.plan.Targets(c.arena.Points())
		k.gaps.rand.Shuffle(len(k.targets), func(i, j int) { k.targets[i], k.targets[j] = k.targets[j], k.targets[i] })
	}
	k.wide, k.hunt = context.WithCancel(context.Background())
	for _, label := range k.targets {
		if !k.hit(label) {
			k.left.Add(1)
		}
	}
	return k
}

// decide draws the next strike.
func (k *killer) decide() strike {
	r := k.gaps.rand
	d := strike{at: k.gaps.next(), slot: r.IntN(len(k.crew.hands))}
	if len(k.targets) == 0 || !k.crew.plan.OnlyTraps && r.IntN(2) == 0 {
		return d
	}
	d.linger = time.Duration(r.Int64N(int64(trapLinger)))
	if !k.inTurn {
		d.label = k.targets[r.IntN(len(k.targets))]
		return d
	}
	d.label = k.targets[k.turn%len(k.targets)]
	k.turn++
	if traps := k.crew.plan.Traps; len(traps) > 0 && r.IntN(2) == 0 {
		d.bait = traps[r.IntN(len(traps))]
	}
	return d
}

// run kills until ctx ends.
func (k *killer) run(ctx context.Context, begin time.Time) {
	if k.gaps.mean == 0 || k.crew.plan.NoKills {
		return
	}
	wide, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(k.wide, cancel)()
	begin = begin.Add(k.crew.plan.Quiet)
	for {
		d := k.decide()
		goOn, late := until(wide, begin, d.at)
		if !goOn {
			break
		}
		k.mu.Lock()
		if !k.resting && !late && ctx.Err() == nil {
			k.strike(ctx, d)
		}
		k.mu.Unlock()
	}
	for ctx.Err() == nil && k.pursue(ctx) {
	}
}

// pursue makes the next of the strikes that is at a point where nobody was killed yet, at
// once. False: ctx has ended.
func (k *killer) pursue(ctx context.Context) (goOn bool) {
	k.mu.Lock()
	if !k.resting && k.left.Load() > 0 {
		d := k.decide()
		for d.label == 0 || k.hit(d.label) {
			d = k.decide()
		}
		k.strike(ctx, d)
	}
	k.mu.Unlock()
	return sleep(ctx, time.Millisecond)
}

// rest keeps the killer from striking. When it returns no strike is under way.
func (k *killer) rest(on bool) {
	k.mu.Lock()
	k.resting = on
	k.mu.Unlock()
}

func (k *killer) strike(ctx context.Context, d strike) {
	why := fmt.Sprintf("due %.6fs", d.at.Seconds())
	switch {
	case d.label == 0:
		k.crew.kill(d.slot, false, why)
	case d.bait == 0 && !k.hunting():
		k.stab(ctx, d, d.label, why)
	default:
		k.ambush(ctx, d, why)
	}
}

// stab kills the worker of a slot at label, or wherever it is if it does not come there.
func (k *killer) stab(ctx context.Context, d strike, label uint32, why string) {
	why += fmt.Sprintf(" at %q", k.name(label))
	anywhere := func(why string) {
		if !k.crew.plan.OnlyTraps {
			k.crew.kill(d.slot, false, why)
		}
	}
	s := k.crew.lay(d.slot, label)
	if s == nil { // it is still starting, or stands in another's trap
		anywhere(why + ", which it was not waited for")
		return
	}
	defer s.lift()
	if await(ctx, trapPatience, s) == nil {
		anywhere(why + ", where it did not come")
		return
	}
	sleep(ctx, d.linger)
	k.finish(s, label, why)
}

// ambush kills the worker of a slot at the bait, and then the first of the others to come
// to the label. When hunting every other one does without the bait.
func (k *killer) ambush(ctx context.Context, d strike, why string) {
	var traps []*snare
	for slot := range k.crew.hands {
		if slot == d.slot && d.bait != 0 {
			continue
		}
		if s := k.crew.lay(slot, d.label); s != nil {
			defer s.lift()
			traps = append(traps, s)
		}
	}
	patience := trapPatience
	if k.hunting() {
		patience = huntPatience
	}
	if d.bait != 0 {
		k.stab(ctx, d, d.bait, why)
	}
	if s := await(ctx, patience, traps...); s != nil {
		sleep(ctx, d.linger)
		k.finish(s, d.label, why+fmt.Sprintf(" at %q, first to come there", k.name(d.label)))
	}
}

// finish kills who stands in a trap.
func (k *killer) finish(s *snare, label uint32, why string) {
	if k.crew.kill(s.at, slices.Contains(k.crew.plan.Held, label), why) {
		if !k.hit(label) {
			k.left.Add(-1)
		}
		k.hits[label]++
	}
}

func (k *killer) hunting() bool { return k.wide.Err() != nil }

func (k *killer) name(label uint32) string {
	return k.crew.plan.TargetName(k.crew.arena.Points(), label)
}

// hit says whether somebody has been killed at a target, in this scenario or, at a mark,
// in one before.
func (k *killer) hit(label uint32) bool {
	return k.hits[label] > 0 || label >= arena.PointBase && k.before[k.name(label)]
}
