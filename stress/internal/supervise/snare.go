package supervise

import (
	"context"
	"time"

	"interlock/stress/internal/arena"
)

// snare is a trap that is set for a worker: the first of its lanes to come to the label
// stands still there.
type snare struct {
	crew *crew
	slot *arena.Slot
	at   int
}

// How long a trap waits for the victim to walk into it, and how long when nothing else is
// left to do.
const (
	trapPatience = 20 * time.Millisecond
	huntPatience = 10 * trapPatience
)

// lay sets a trap. nil: there is one already, or a lane has not left the last one yet.
func (c *crew) lay(slot int, label uint32) *snare {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.arena.Slot(slot)
	if c.snared[slot] || s.Trapped.Load() != 0 || !c.isReady(slot) {
		return nil
	}
	c.snared[slot] = true
	s.Trap.Store(label)
	return &snare{c, s, slot}
}

// caught says whether a lane stands there.
func (s *snare) caught() bool { return s.slot.Trapped.Load() != 0 }

// lift takes the trap away: who stands there goes on, if it can.
func (s *snare) lift() {
	s.crew.mu.Lock()
	defer s.crew.mu.Unlock()
	s.slot.Trap.Store(0)
	s.crew.snared[s.at] = false
}

// await waits until a lane stands in one of the traps, and returns that one; nil: none
// came, or ctx ended.
func await(ctx context.Context, patience time.Duration, traps ...*snare) *snare {
	for begin := time.Now(); time.Since(begin) < patience; {
		for _, s := range traps {
			if s.caught() {
				return s
			}
		}
		if !sleep(ctx, 50*time.Microsecond) {
			break
		}
	}
	return nil
}
