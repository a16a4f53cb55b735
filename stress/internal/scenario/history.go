package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"interlock/mutex"
	"interlock/semaphore"
	"interlock/seqlock"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/history"
)

// histArea is one object of each kind. In each round all lanes do a few operations with
// one of them and write down what they did and saw; then all stand still, and the
// history of the round is judged as a whole: there must be an order of the operations,
// each between its call and its return, in which a sequential object does the same.
type histArea struct {
	Mu     mutex.Mutex
	_      [24]byte
	Value  uint64 // plain: under Mu
	_      [56]byte
	Sem    semaphore.Semaphore
	_      [32]byte
	Lock   seqlock.Seqlock[histValue]
	Buffer seqlock.DoubleBuffer[histValue]
	Round  atomic.Uint64 // which the lanes are to play; 0: none yet
}

// histValue has its number in each word.
type histValue struct{ W [4]uint64 }

// The objects, in turn.
const (
	histMutex = iota
	histSemaphore
	histSeqlock
	histBuffer
	histObjects
)

var histNames = [histObjects]string{"a counter under a mutex", "a semaphore", "a seqlock", "a double buffer"}

const (
	histOps     = 8 // of each lane in a round
	histPermits = 2
)

// What a lane says about itself.
const (
	recHistRound = iota
	recHistOps   // those it has begun in this round, or the dead one before it has
)

func historyPlan() *Plan {
	s := &scribe{}
	return &Plan{
		Name:      "history",
		About:     "what all saw of a mutex, semaphore, seqlock and double buffer in a few operations, killed ones included: some order explains it",
		Duration:  1200 * time.Millisecond,
		Shape:     Shape{Procs: 4, Lanes: 2},
		Least:     Shape{Procs: 1, Lanes: 1},
		Directed:  true,
		MostLanes: 16, // the orders of many operations cannot be tried in time
		Traps:     []uint32{LabelInside},
		Marks:     []string{"E-M", "E-S", "E-Q"},
		Area:      func(procs, lanes int) int { return arena.SizeOf[histArea]() },
		Setup:     func(a *arena.Arena) { histOf(a).Sem.Init(histPermits) },
		Attach: func(w *Worker) (Body, error) {
			h := histOf(w.Arena)
			h.Mu.OnOwnerDeath(func(pid int) error { return nil }) // one word cannot be half written
			return Body{Step: h.step}, nil
		},
		Conduct: s.conduct,
		Check:   func(a *arena.Arena, f *Findings) { s.check(f) },
		Files:   func() map[string][]byte { return s.files },
		Words: func(a *arena.Arena) []Word {
			h := histOf(a)
			return []Word{
				{"round", fmt.Sprintf("%d: %s", h.Round.Load(), histNames[h.Round.Load()%histObjects])},
				{"mutex word", lockWord(arena.Word(&h.Mu, 0))},
				{"semaphore", fmt.Sprintf("value %d nwaiters %d", arena.Word(&h.Sem, 0), arena.Word(&h.Sem, 1))},
				{"seqlock", seqWord(arena.Word(&h.Lock, 0), arena.Word(&h.Lock, 2))},
				{"double buffer", seqWord(arena.Word(&h.Buffer, 0), arena.Word(&h.Buffer, 2))},
			}
		},
	}
}

func histOf(a *arena.Arena) *histArea { return arena.At[histArea](a.Scenario(), 0) }

// step is one operation of the round, if there is one left.
func (h *histArea) step(l *Lane) error {
	round := h.Round.Load()
	if l.Rec[recHistRound].Load() != round {
		l.Rec[recHistOps].Store(0)
		l.Rec[recHistRound].Store(round)
	}
	if round == 0 || l.Rec[recHistOps].Load() >= histOps {
		time.Sleep(100 * time.Microsecond)
		return nil
	}
	l.Rec[recHistOps].Add(1)
	l.Label.Store(LabelWaiting)
	var err error
	switch round % histObjects {
	case histMutex:
		h.count(l, round)
	case histSemaphore:
		err = h.permit(l, round)
	default:
		err = h.value(l, round)
	}
	if l.op != nil {
		l.op.Done.Store(arena.Now())
	}
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
	return err
}

// count adds one under the mutex.
func (h *histArea) count(l *Lane, round uint64) {
	l.note(history.Add, 0, round)
	h.Mu.Lock()
	l.has(h.Value)
	l.Reach(LabelInside)
	increment(&h.Value, l.sometimes())
	l.gives()
	h.Mu.Unlock()
}

// has writes down what an operation has found.
func (l *Lane) has(out uint64) {
	if l.op != nil {
		l.op.Out.Store(out)
		l.op.Got.Store(arena.Now())
	}
}

// permit takes a permit, in one of the ways there are, or gives back one that it has.
func (h *histArea) permit(l *Lane, round uint64) error {
	if !h.take(l, round) {
		return nil
	}
	l.op.Done.Store(arena.Now())
	l.Reach(LabelInside)
	l.note(history.Release, 0, round)
	return h.Sem.Release()
}

func (h *histArea) take(l *Lane, round uint64) bool {
	if l.Rand.Uint32N(3) == 0 {
		l.note(history.TryAcquire, 0, round)
		if !h.Sem.TryAcquire() {
			return false
		}
	} else {
		l.note(history.Acquire, 0, round)
		ctx, cancel := context.WithTimeout(l.W.Context(), 5*time.Millisecond)
		defer cancel()
		if h.Sem.Acquire(ctx) != nil {
			return false
		}
	}
	l.has(1)
	return true
}

// value stores or loads.
func (h *histArea) value(l *Lane, round uint64) error {
	ctx := context.Background()
	locked := round%histObjects == histSeqlock
	if l.Rand.Uint32N(2) == 0 {
		n := round<<16 | uint64(l.ID)<<8 | l.Rec[recHistOps].Load()
		v := histValue{[4]uint64{n, n, n, n}}
		l.note(history.Store, n, round)
		if locked {
			return h.Lock.Store(ctx, &v)
		}
		return h.Buffer.Store(ctx, &v)
	}
	l.note(history.Load, 0, round)
	n, err := h.load(ctx, locked)
	l.has(n)
	return err
}

// load reads the value of an object; one that is torn has none.
func (h *histArea) load(ctx context.Context, locked bool) (n uint64, err error) {
	var v histValue
	if locked {
		err = h.Lock.Load(ctx, &v)
	} else {
		h.Buffer.Load(&v)
	}
	switch {
	case errors.Is(err, seqlock.ErrWriterDead):
		return history.Torn, nil
	case v != histValue{[4]uint64{v.W[0], v.W[0], v.W[0], v.W[0]}}:
		return history.Torn - 1, nil // no Store ever stored that
	}
	return v.W[0], err
}

// scribe judges round after round, in the supervisor.
type scribe struct {
	rounds, ops, pending, unknown int
	longest                       time.Duration // that it took to judge a round
	files                         map[string][]byte
}

// histPatience is how long a round may take. Who waits longer is cancelled, or waits for
// somebody who was killed.
const histPatience = 100

func (s *scribe) conduct(st Stage) {
	a := st.Arena()
	h := histOf(a)
	for round := uint64(1); ; round++ {
		if !st.Pause() {
			return
		}
		state := h.state(round)
		begin := arena.Now()
		h.Round.Store(round)
		st.Resume()
		goOn := st.Sleep(time.Millisecond)
		for waited := 0; goOn && waited < histPatience && !h.played(a, round); waited++ {
			goOn = st.Sleep(time.Millisecond)
		}
		if !st.Pause() {
			return
		}
		fine := s.judge(a, state, round, begin)
		st.Resume()
		if !goOn || !fine {
			return
		}
	}
}

// state is what an object is like at the beginning of a round. All stand still.
func (h *histArea) state(round uint64) uint64 {
	switch round % histObjects {
	case histMutex:
		return h.Value
	case histSemaphore:
		for h.Sem.Value() < histPermits { // those that died with their holders
			_ = h.Sem.Release()
		}
		return uint64(h.Sem.Value())
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	n, err := h.load(ctx, round%histObjects == histSeqlock)
	if err != nil {
		return history.Torn
	}
	return n
}

// played says that every lane has come to the end of its round.
func (h *histArea) played(a *arena.Arena, round uint64) bool {
	for id := range a.LaneCount() {
		l := a.LaneByID(id)
		if l.Rec[recHistRound].Load() != round || l.Rec[recHistOps].Load() < histOps || l.Label.Load() != LabelIdle {
			return false
		}
	}
	return true
}

// judge asks whether what was written down in a round can have been so.
func (s *scribe) judge(a *arena.Arena, state, round uint64, begin int64) (fine bool) {
	var ops []history.Op
	for _, op := range history.Read(a).Ops {
		if op.Round == round {
			ops = append(ops, op)
		}
		if op.Round == round && op.Done == 0 {
			s.pending++
		}
	}
	s.rounds++
	s.ops += len(ops)
	object := histNames[round%histObjects]
	if round%histObjects == histMutex {
		if bad, _ := history.Exclusive(ops); bad != nil {
			a.Fault(-1, "history: round %d, %s: %s", round, object, bad.String(begin))
			return false
		}
	}
	asked := time.Now()
	v := history.Linear(state, ops, begin)
	s.longest = max(s.longest, time.Since(asked))
	if !v.Known {
		s.unknown++
	}
	if !v.Fine {
		s.files = map[string][]byte{"history.html": v.Page}
		a.Fault(-1, "history: round %d, %s: %s", round, object, v.Why)
	}
	return v.Fine
}

func (s *scribe) check(f *Findings) {
	f.Notes = append(f.Notes, fmt.Sprintf("rounds %d operations %d cut short by a kill %d", s.rounds, s.ops, s.pending))
	if s.unknown > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("not decided %d", s.unknown))
	}
	f.Metric("rounds", float64(s.rounds))
	f.Metric("pending", float64(s.pending))
	f.Metric("undecided", float64(s.unknown))
	f.Metric("longest_judgement_ns", float64(s.longest))
}
