package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"interlock/condvar"
	"interlock/mutex"
	"interlock/seqlock"
	"interlock/stress/internal/arena"
)

// interopArea is shared by Go workers, the even ones, and C workers, the odd ones:
// testdata/interop.c, which does the same by interlock.h. Even lanes make tokens, odd
// ones take them, under one mutex and two conditions; and all change two values.
//
// Each turn is counted twice, in N and by its lane, so that a death between the two
// shows: the repair, in whichever language, undoes what was counted once.
type interopArea struct {
	Mu          mutex.Mutex
	Made, Taken condvar.Cond
	N           [2]uint64     // tokens made and taken; plain: the mutex guards them
	Inside      atomic.Uint64 // the process that holds the lock and has come to say so
	RepairsGo   atomic.Uint64
	RepairsC    atomic.Uint64
	Torn        atomic.Uint64 // values that a dead writer left so
	Tickets     atomic.Uint64 // what one waits for in a calm piece; changed under Mu
	Calm        atomic.Uint64 // such pieces
	Program     [64]byte      // the C worker's
	Price       seqlock.Seqlock[large]
	Table       seqlock.DoubleBuffer[large]
}

const interopRoom = 8 // tokens that may lie there

// A lane's record; the C worker knows the order.
const (
	recTurns = iota // under the lock
	recBegun        // updates of Table that it was about to make
	recEnded        // and made
)

// Labels of the interop scenario.
const (
	labelInteropOpen = LabelOwn + iota
	labelInteropHalf
	labelInteropDone
)

func interopPlan() *Plan {
	return &Plan{
		Name:      "interop",
		About:     "Go and C processes make and take tokens, killed on either side: each counted once, no value torn",
		Labels:    []string{"not counted", "counted once", "not signalled"},
		Duration:  1400 * time.Millisecond,
		Shape:     Shape{Procs: 4, Lanes: 4},
		Least:     Shape{Procs: 2, Lanes: 2},
		MostLanes: 64,
		Traps:     []uint32{labelInteropOpen, labelInteropHalf, labelInteropDone},
		Held:      []uint32{labelInteropOpen, labelInteropHalf, labelInteropDone},
		Missing:   interopMissing,
		Area:      func(procs, lanes int) int { return arena.SizeOf[interopArea]() },
		Setup: func(a *arena.Arena) {
			s := arena.At[interopArea](a.Scenario(), 0)
			copy(s.Program[:], interopProgram())
		},
		Attach: func(w *Worker) (Body, error) {
			s := arena.At[interopArea](w.Arena.Scenario(), 0)
			if w.Index%2 == 1 {
				return Body{}, s.becomeC(w) // it returns only if it cannot
			}
			s.Mu.OnOwnerDeath(func(int) error { return s.repair(w) })
			return Body{Step: s.step, Nudge: s.nudge}, nil
		},
		Conduct: func(st Stage) { arena.At[interopArea](st.Arena().Scenario(), 0).conduct(st) },
		Check:   checkInterop,
		Words: func(a *arena.Arena) []Word {
			s := arena.At[interopArea](a.Scenario(), 0)
			return []Word{
				{"mutex word", lockWord(arena.Word(&s.Mu, 0))},
				{"made", condWord(&s.Made)},
				{"taken", condWord(&s.Taken)},
				{"tokens", fmt.Sprintf("%d made, %d taken", s.N[0], s.N[1])},
				{"tickets", fmt.Sprint(s.Tickets.Load())},
			}
		},
	}
}

// step is one turn, and now and then a change of the two values.
func (s *interopArea) step(l *Lane) error {
	if err := s.turn(l); err != nil {
		return err
	}
	if l.Rand.Uint32N(4) == 0 {
		if err := s.values(l); err != nil {
			return err
		}
	}
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
	return nil
}

// turn makes or takes one token.
func (s *interopArea) turn(l *Lane) error {
	takes := l.ID % 2
	forUs, forThem, none := &s.Taken, &s.Made, uint64(interopRoom)
	if takes == 1 {
		forUs, forThem, none = &s.Made, &s.Taken, 0
	}
	l.Label.Store(LabelWaiting)
	s.Mu.Lock()
	pid := uint64(l.W.Slot.PID.Load())
	s.Inside.Store(pid)
	defer func() {
		s.Inside.Store(0)
		s.Mu.Unlock()
	}()
	for s.N[0]-s.N[1] == none {
		if l.W.Arena.Phase.Load() != arena.PhaseRun {
			return nil
		}
		l.Label.Store(LabelWaiting)
		s.Inside.Store(0)
		ctx, cancel := context.Background(), func() {}
		if l.Rand.Uint32N(8) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(l.Rand.Int64N(int64(3*time.Millisecond))))
		}
		err := forUs.WaitContext(ctx, &s.Mu)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		s.Inside.Store(pid)
	}
	l.Reach(labelInteropOpen)
	s.N[takes]++
	l.Reach(labelInteropHalf)
	l.Rec[recTurns].Add(1)
	l.Reach(labelInteropDone)
	forThem.Signal()
	return nil
}

// values reads both values, and changes both.
func (s *interopArea) values(l *Lane) error {
	ctx := context.Background()
	var v large
	err := s.Price.Load(ctx, &v)
	if version, ok := whole(v.words()); err == nil && !ok {
		l.Fault("interop: Go loaded a torn value of the seqlock, %d in its first word", version)
	}
	s.Table.Load(&v)
	if version, ok := whole(v.words()); !ok {
		l.Fault("interop: Go loaded a torn value of the double buffer, %d in its first word", version)
	}
	next := func(v *large) { fill(v.words(), v.W[0]+1) }
	if err = s.Price.Update(ctx, next); errors.Is(err, seqlock.ErrWriterDead) {
		err = s.Price.Store(ctx, &large{})
		s.Torn.Add(1)
	}
	if err != nil {
		return err
	}
	l.Rec[recBegun].Add(1)
	if err := s.Table.Update(ctx, next); err != nil {
		return err
	}
	l.Rec[recEnded].Add(1)
	return nil
}

// nudge rouses everybody when it is time to leave, the C workers too.
func (s *interopArea) nudge() {
	s.Mu.Lock()
	s.Made.Broadcast()
	s.Taken.Broadcast()
	s.Mu.Unlock()
}

// turns is what the lanes have counted: made, taken.
func (s *interopArea) turns(a *arena.Arena) (sums [2]uint64) {
	for id := range a.LaneCount() {
		sums[id%2] += a.LaneByID(id).Rec[recTurns].Load()
	}
	return sums
}

// repair undoes a turn that was counted once only.
func (s *interopArea) repair(w *Worker) error {
	if pid := s.Inside.Load(); pid != 0 && !w.Arena.Mourn(int(pid)) {
		w.Arena.Fault(w.Index, "interop: a repair was called for process %d, which nobody killed", pid)
	}
	for k, sum := range s.turns(w.Arena) {
		if s.N[k]-sum > 1 {
			w.Arena.Fault(w.Index, "interop: found by a repair in Go: %d turns on the one side, %d on the other", s.N[k], sum)
		}
		s.N[k] = sum
	}
	s.RepairsGo.Add(1)
	s.Inside.Store(0)
	s.Made.Broadcast()
	s.Taken.Broadcast()
	return nil
}

func checkInterop(a *arena.Arena, f *Findings) {
	s := arena.At[interopArea](a.Scenario(), 0)
	sums := s.turns(a)
	if s.N != sums || s.N[0]-s.N[1] > interopRoom || s.N[0] == 0 {
		f.Faults = append(f.Faults, fmt.Sprintf("interop: %v tokens made and taken, the lanes count %v", s.N, sums))
	}
	var v large
	s.Table.Load(&v)
	version, ok := whole(v.words())
	if begun, ended := a.Sum(recBegun), a.Sum(recEnded); !ok || version < ended || version > begun {
		f.Faults = append(f.Faults, fmt.Sprintf("interop: the double buffer holds version %d after %d to %d updates", version, ended, begun))
	}
	byC := uint64(0)
	for id := range a.LaneCount() {
		if id/int(a.Lanes.Load())%2 == 1 {
			byC += a.LaneByID(id).Rec[recTurns].Load()
		}
	}
	if byC == 0 {
		f.Faults = append(f.Faults, "interop: no C process made a turn")
	}
	f.Notes = append(f.Notes, fmt.Sprintf("lost %d turns in C %d%% repairs in Go %d in C %d values torn %d calm signals %d", int64(sums[0]+sums[1]-s.N[0]-s.N[1]), 100*byC/max(1, s.N[0]+s.N[1]), s.RepairsGo.Load(), s.RepairsC.Load(), s.Torn.Load(), s.Calm.Load()))
	f.Metric("torn", float64(s.Torn.Load()))
	f.Metric("turns", float64(s.N[0]+s.N[1]))
	f.Metric("turns_in_c", float64(byC))
	f.Metric("repairs_in_go", float64(s.RepairsGo.Load()))
	f.Metric("repairs_in_c", float64(s.RepairsC.Load()))
}
