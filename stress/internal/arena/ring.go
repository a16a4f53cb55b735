package arena

import "sync/atomic"

// Operation is one operation of a lane, written down as it goes, so that it tells how far
// somebody came who was killed. Times are by Now; 0: it has not come so far, or does not
// pass there.
type Operation struct {
	Call  atomic.Int64 // 0: the rest means nothing
	Got   atomic.Int64
	Give  atomic.Int64 // before what was got is given away
	Done  atomic.Int64
	PID   atomic.Uint32
	Kind  atomic.Uint32 // in the scenario's words, as are the following
	In    atomic.Uint64
	Out   atomic.Uint64
	Round atomic.Uint64
}

// mostRings bounds the memory for all rings together.
const mostRings = 256 << 20

// Capacity is how many operations of each lane can be kept if somebody wants so many.
func Capacity(procs, lanes, keep int) int {
	return min(keep, mostRings/(procs*lanes*SizeOf[Operation]()))
}

// Operation is entry i of the ring of lane id.
func (a *Arena) Operation(id int, i uint64) *Operation {
	keep := uint64(a.Keep.Load())
	return At[Operation](a.mem, a.rings()+(id*int(keep)+int(i%keep))*SizeOf[Operation]())
}

// rings is where the first ring begins.
func (a *Arena) rings() int { return a.group(int(a.Procs.Load())) }

// Begin begins an operation of lane id, in place of the oldest, if any are kept. Who is
// killed meanwhile leaves either nothing or an operation that is whole.
func (a *Arena) Begin(id int, pid, kind uint32, in, round uint64) *Operation {
	if a.Keep.Load() == 0 {
		return nil
	}
	lane := a.LaneByID(id)
	o := a.Operation(id, lane.Begun.Load())
	for _, word := range []*atomic.Int64{&o.Call, &o.Got, &o.Give, &o.Done} {
		word.Store(0)
	}
	o.PID.Store(pid)
	o.Kind.Store(kind)
	o.In.Store(in)
	o.Out.Store(0)
	o.Round.Store(round)
	lane.Begun.Add(1)
	o.Call.Store(Now())
	return o
}
