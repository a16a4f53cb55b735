package scenario

import (
	"sync/atomic"
	"time"
)

// quiesce is the end of a Conduct whose workers do not all come by the same place: nobody
// is killed any more, and it returns when every lane has finished two operations, and
// somebody has been through everything there is, from after the last death on. Then
// nothing is left of the dead that somebody had to put right. rounds counts how often a
// lane has been through everything.
func quiesce(st Stage, rounds *atomic.Uint64) {
	a := st.Arena()
	st.Calm(true)
	begun := make([]uint64, a.LaneCount())
	for id := range begun {
		begun[id] = a.LaneByID(id).Ops.Load()
	}
	underWay := rounds.Load() + uint64(len(begun)) // at most
	for id := range begun {
		for !st.Over() && (rounds.Load() <= underWay || a.LaneByID(id).Ops.Load() < begun[id]+2) {
			time.Sleep(time.Millisecond)
		}
	}
}

// progress watches over each lane: that the others get on says nothing of the one that
// tries for ever.
type progress struct {
	*conductor
	lanes []progressOf
}

type progressOf struct {
	ops  uint64
	gen  uint32
	left *patience
}

func newProgress(st Stage) *progress {
	c := newConductor(st)
	return &progress{c, make([]progressOf, c.a.LaneCount())}
}

// look says whether every lane finishes something now and then. A worker that has a low
// priority, by our doing, may not.
func (p *progress) look() bool {
	if p.a.Points().Victim.Load() != 0 {
		return true
	}
	n := int(p.a.Lanes.Load())
	for id := range p.lanes {
		l, lane, gen := &p.lanes[id], p.a.LaneByID(id), p.a.Slot(id/n).Gen.Load()
		if ops := lane.Ops.Load(); l.left == nil || ops != l.ops || gen != l.gen {
			*l = progressOf{ops, gen, p.patience()}
		} else if l.left.out() {
			p.st.Hang("lane %d (pid %d) gets nothing done, for longer than %v, while others go on", id, p.st.PID(id/n), p.st.Patience())
			return false
		}
	}
	return true
}
