package supervise

import (
	"sync"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/scenario"
)

// monitor looks at every lane every millisecond or so. Lanes time nothing
// themselves: two clock readings cost more than the operation between them.
// So a wait shorter than a look counts as none, which is no loss.
type monitor struct {
	arena *arena.Arena

	mu      sync.Mutex
	lanes   []watched
	longest time.Duration // the longest that a living lane stayed in one wait
	idle    time.Duration // how long no lane has finished anything: see most
	ops     uint64
	last    time.Time
	lag     time.Duration // the longest that this machine kept the supervisor from looking
}

type watched struct {
	ops   uint64
	gen   uint32
	label uint32
	since time.Time
}

const lookEvery = time.Millisecond

// most is how much of the time between two looks counts towards a hang. When
// the machine keeps the supervisor itself from running, it says nothing about
// the workers that they did not run either.
const most = 20 * time.Millisecond

func newMonitor(a *arena.Arena) *monitor {
	return &monitor{arena: a, lanes: make([]watched, a.LaneCount())}
}

// look updates every lane's record. While a worker is slow to be replaced, the others
// may be waiting for that.
func (m *monitor) look(now time.Time, slow bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.last.IsZero() {
		m.lag = max(m.lag, now.Sub(m.last)-lookEvery)
		if !slow {
			m.idle += min(now.Sub(m.last), most)
		}
	}
	m.last = now
	n := int(m.arena.Lanes.Load())
	var sum uint64
	for id := range m.lanes {
		lane, w := m.arena.LaneByID(id), &m.lanes[id]
		ops, label, gen := lane.Ops.Load(), lane.Label.Load(), m.arena.Slot(id/n).Gen.Load()
		sum += ops
		if ops != w.ops || gen != w.gen || label != w.label {
			*w = watched{ops: ops, gen: gen, label: label, since: now}
			continue
		}
		if label == scenario.LabelWaiting {
			m.longest = max(m.longest, now.Sub(w.since))
		}
	}
	if sum != m.ops {
		m.idle = 0
	}
	m.ops = sum
}

// stalled is how long nobody has finished anything.
func (m *monitor) stalled() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.idle
}

// touch restarts the stall clock.
func (m *monitor) touch() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.idle = 0
}

func (m *monitor) longestWait() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.longest
}

// lateness is the longest scheduling delay that the supervisor itself has seen.
func (m *monitor) lateness() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lag
}

// stuckFor is how long lane id has not changed at all.
func (m *monitor) stuckFor(id int, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Sub(m.lanes[id].since)
}
