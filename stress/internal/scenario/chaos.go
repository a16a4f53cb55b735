package scenario

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"interlock/stress/internal/arena"
)

// The kinds of chaos: how many powers of two of a microsecond a delay may take.
const (
	ChaosLight uint32 = 11 // to 1 ms
	ChaosHeavy uint32 = 17 // to 65 ms
)

// chaosShare bounds the delays: of a worker's time, one part in so many. Much more, and
// little but delays would happen (rr's chaos mode has the same bound).
const chaosShare = 5

// chaos draws the delays of a worker process, one after another, from the seed alone.
// Each is made as soon as the share allows: so what the long ones cost is saved up for
// them, and the short ones do not eat it.
type chaos struct {
	mu    sync.Mutex // whoever does not get it goes on
	rand  *rand.Rand
	begin time.Time
	used  time.Duration
	next  delay
	drawn bool
}

// delay is one decision.
type delay struct {
	skip int // passages to let pass first
	kind uint32
	long time.Duration
}

// How a delay is spent, in arena.Delay.
const (
	delaySleep uint32 = iota
	delayYield        // giving way to others again and again
	delaySpin
	delayKinds
)

var delayNames = [delayKinds]string{"sleep", "yield", "spin"}

// DelayName names a kind of delay.
func DelayName(kind uint32) string { return delayNames[kind%delayKinds] }

// spinMost is how long a delay may keep a CPU busy.
const spinMost = time.Millisecond

func (c *chaos) init(w *Worker) {
	stream := uint64(w.Index)<<32 | uint64(w.Gen)
	c.rand, c.begin = rand.New(rand.NewPCG(w.Arena.Seed.Load(), stream^0x6368616f73)), time.Now()
}

// draw is the next decision.
func (c *chaos) draw(powers uint32) delay {
	d := delay{
		skip: c.rand.IntN(16),
		long: time.Microsecond << c.rand.IntN(int(powers)),
		kind: c.rand.Uint32N(delayKinds),
	}
	if d.long > spinMost {
		d.kind = delaySleep
	}
	return d
}

// due says whether the one who passes is to be delayed, and how.
func (c *chaos) due(powers uint32) (d delay, yes bool) {
	if !c.mu.TryLock() {
		return d, false
	}
	defer c.mu.Unlock()
	if !c.drawn {
		c.next, c.drawn = c.draw(powers), true
	}
	if c.used+c.next.long > time.Since(c.begin)/chaosShare {
		return d, false
	}
	if c.next.skip--; c.next.skip >= 0 {
		return d, false
	}
	c.drawn = false
	c.used += c.next.long
	return c.next, true
}

// delay keeps the one who passes point for a while, or not.
func (c *chaos) delay(t *arena.Tally, powers uint32, point int) {
	d, yes := c.due(powers)
	if !yes {
		return
	}
	t.Note(point, d.kind, d.long)
	switch d.kind {
	case delaySleep:
		time.Sleep(d.long)
	case delayYield:
		for t := time.Now(); time.Since(t) < d.long; {
			runtime.Gosched()
			schedYield()
		}
	case delaySpin:
		for t := time.Now(); time.Since(t) < d.long; {
		}
	}
}
