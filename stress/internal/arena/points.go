package arena

import (
	"sync/atomic"
	"time"
)

// PointCount bounds the points: the library's marks, and behind them the scenario's traps.
const PointCount = 64

// PointBase is added to the number of a mark for the label under which a trap is set
// there. The scenarios' own labels are below.
const PointBase uint32 = 1 << 16

// Points are the library's marks. The supervisor writes them before any worker starts.
type Points struct {
	Watched atomic.Uint32 // 1: passages are counted
	Marks   atomic.Uint32 // how many names there are
	Chaos   atomic.Uint32 // the delays that are wanted just now, in the scenarios' words; 0: none
	Victim  atomic.Uint32 // 1 + the slot of low priority; 0: none
	Idle    atomic.Uint32 // 1: of the lowest there is
	_       [44]byte
	Names   [PointCount]Name
}

// Name is the name of a mark.
type Name struct {
	Size byte
	Text [63]byte
}

// TrapCount bounds the traps of a scenario.
const TrapCount = 16

// SetNames writes the names down, those for which there is room.
func (p *Points) SetNames(names []string) {
	names = names[:min(len(names), PointCount-TrapCount)]
	for i, name := range names {
		p.Names[i].Size = byte(copy(p.Names[i].Text[:], name))
	}
	p.Marks.Store(uint32(len(names)))
}

// Name is the name of a mark.
func (p *Points) Name(i int) string {
	n := &p.Names[i]
	return string(n.Text[:min(int(n.Size), len(n.Text))])
}

// Tally is what the processes in a slot, one after another, have passed and how they
// were delayed.
type Tally struct {
	Passed  [PointCount]atomic.Uint64
	Delayed atomic.Int64 // nanoseconds in all
	Delays  atomic.Uint64
	_       [48]byte
	Last    [DelayCount]Delay // a ring
}

// DelayCount bounds how many delays are kept of each slot.
const DelayCount = 256

// Delay is one delay: when, by CLOCK_MONOTONIC, at which mark, for how long.
type Delay struct {
	At    atomic.Int64
	Long  atomic.Int64
	Point atomic.Uint32
	Kind  atomic.Uint32
}

// Note writes a delay down. Who is killed in between leaves an entry with parts of an
// older one; they are for people to read.
func (t *Tally) Note(point int, kind uint32, long time.Duration) {
	d := &t.Last[(t.Delays.Add(1)-1)%DelayCount]
	d.At.Store(Now())
	d.Point.Store(uint32(point))
	d.Kind.Store(kind)
	d.Long.Store(int64(long))
	t.Delayed.Add(int64(long))
}
