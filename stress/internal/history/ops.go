package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"interlock/stress/internal/arena"
)

// Op is one operation. Times are arena.Now's; 0: it has not come so far.
type Op struct {
	Lane, PID             int
	Kind                  uint32
	In, Out, Round        uint64
	Call, Got, Give, Done int64
	Killed                int64 // when its process was about to be killed; 0: nobody did
	Last                  bool  // the last one of its lane and process
}

// Log is what is kept of a run.
type Log struct {
	Ops     []Op   // in the order of their calls
	Dropped uint64 // older ones, in whose places others are
}

// Read reads what is kept. Nobody may be at work.
func Read(a *arena.Arena) (log Log) {
	keep := uint64(a.Keep.Load())
	if keep == 0 {
		return log
	}
	killed := graves(a)
	for id := range a.LaneCount() {
		begun := a.LaneByID(id).Begun.Load()
		first := begun - min(begun, keep)
		log.Dropped += first
		var mine []Op
		for i := first; i < begun; i++ {
			if op, ok := read(a, id, i, killed); ok {
				mine = append(mine, op)
			}
		}
		for i := range mine {
			mine[i].Last = i == len(mine)-1 || mine[i+1].PID != mine[i].PID
		}
		log.Ops = append(log.Ops, mine...)
	}
	slices.SortStableFunc(log.Ops, func(x, y Op) int { return cmp.Compare(x.Call, y.Call) })
	return log
}

// graves are when who was killed last. (Pids come round again, but not so soon.)
func graves(a *arena.Arena) map[int]int64 {
	killed := map[int]int64{}
	for i := range min(int(a.Kills.Load()), arena.GraveCount) {
		g := a.Grave(i)
		killed[int(g.PID.Load())] = max(killed[int(g.PID.Load())], g.At.Load())
	}
	return killed
}

func read(a *arena.Arena, id int, i uint64, killed map[int]int64) (op Op, ok bool) {
	o := a.Operation(id, i)
	op = Op{
		Lane: id, PID: int(o.PID.Load()), Kind: o.Kind.Load(), In: o.In.Load(), Out: o.Out.Load(), Round: o.Round.Load(),
		Call: o.Call.Load(), Got: o.Got.Load(), Give: o.Give.Load(), Done: o.Done.Load(),
	}
	if at := killed[op.PID]; at >= op.Call { // an older one is that of another with this pid
		op.Killed = at
	}
	return op, op.Call != 0
}

// name says whose an operation is.
func (op Op) name() string { return fmt.Sprintf("lane %d (pid %d)", op.Lane, op.PID) }

// since writes a time down, from begin on.
func since(begin, at int64) string {
	return fmt.Sprintf("%.6fs", time.Duration(at-begin).Seconds())
}
