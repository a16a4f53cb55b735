package scenario

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"interlock/semaphore"
	"interlock/stress/internal/arena"
)

// semArea is a semaphore over as many rooms as there are permits: who holds a
// permit occupies a room.
//
// A room's word names its occupant, so there is never a doubt who is inside,
// whoever is killed when. A permit has no name: of a lane that was killed
// between "about to acquire" and "acquired" nobody can say whether it took
// one. Those are counted apart, and give the bounds between which the value
// must lie; a stretch without kills leaves none, and there it must be exact.
type semArea struct {
	Sem     semaphore.Semaphore
	_       [32]byte
	Permits atomic.Uint64
	Rooms   [maxPermits]room

	// The supervisor's accounts since the last recount.
	Certain   atomic.Uint64 // permits that died with their holders
	Ambiguous atomic.Uint64 // lanes killed where they may have held one
	Asleep    atomic.Uint64 // lanes killed, since the beginning, where they may have been counted as waiting

	Lost   atomic.Uint64 // permits restored by recounts so far
	Exact  atomic.Uint64 // recounts without ambiguity
	Bounds atomic.Uint64 // recounts with
}

const maxPermits = 8

type room struct {
	Who atomic.Uint64 // 0: free; else operation<<24 | 1+lane
	_   [56]byte
}

// What a lane says about its permit, in Rec[recPermit].
const (
	permitNone uint64 = iota
	permitAcquiring
	permitHeld
	permitReleasing
)

const recPermit = 1

// semEpoch is the time between two recounts.
const semEpoch = 120 * time.Millisecond

func semaphorePlan() *Plan {
	return &Plan{
		Name:     "semaphore",
		About:    "never more inside than permits; none lost or made but those that die with their holders",
		Duration: 1600 * time.Millisecond,
		Shape:    Shape{Procs: 4, Lanes: 4},
		Least:    Shape{Procs: 1, Lanes: 2},
		Traps:    []uint32{LabelInside},
		Marks:    []string{"E-S"},
		Area:     func(procs, lanes int) int { return arena.SizeOf[semArea]() },
		Setup: func(a *arena.Arena) {
			arena.At[semArea](a.Scenario(), 0).setup(max(a.LaneCount()/4, 1))
		},
		Attach: func(w *Worker) (Body, error) {
			s := arena.At[semArea](w.Arena.Scenario(), 0)
			return Body{Step: s.step}, nil
		},
		Conduct: conductSemaphore,
		Settle:  func(a *arena.Arena, slot int) { arena.At[semArea](a.Scenario(), 0).settle(a, slot) },
		Check:   func(a *arena.Arena, f *Findings) { arena.At[semArea](a.Scenario(), 0).check(f) },
		Words:   func(a *arena.Arena) []Word { return arena.At[semArea](a.Scenario(), 0).words() },
	}
}

// setup makes n permits, if there are rooms for so many.
func (s *semArea) setup(n int) {
	n = min(n, maxPermits)
	s.Permits.Store(uint64(n))
	s.Sem.Init(uint32(n))
}

// words are the state of the semaphore and who is inside.
func (s *semArea) words() []Word {
	words := []Word{{"semaphore", fmt.Sprintf("value %d nwaiters %d of %d permits",
		arena.Word(&s.Sem, 0), arena.Word(&s.Sem, 1), s.Permits.Load())}}
	for i := range s.Permits.Load() {
		if who := s.Rooms[i].Who.Load(); who != 0 {
			words = append(words, Word{fmt.Sprintf("room %d", i), fmt.Sprintf("lane %d", laneOf(who))})
		}
	}
	return words
}

// laneOf is the lane in a room's word.
func laneOf(who uint64) int { return int(who&(1<<24-1)) - 1 }

func (s *semArea) step(l *Lane) error { return s.visit(l, s.acquire, 0) }

// visit takes a permit, occupies a room for a moment, and gives both back.
func (s *semArea) visit(l *Lane, acquire func(l *Lane) bool, stay time.Duration) error {
	l.Label.Store(LabelWaiting)
	l.Rec[recPermit].Store(permitAcquiring)
	begin := l.Begin()
	if !acquire(l) {
		l.Rec[recPermit].Store(permitNone)
		l.Label.Store(LabelIdle)
		return nil
	}
	l.Rec[recPermit].Store(permitHeld)
	begin = l.Took(arena.Wait, begin)
	me := l.Ops.Load()<<24 | uint64(l.ID+1)
	r := s.enter(l, me)
	l.Reach(LabelInside)
	for range l.Rand.Uint32N(64) {
		scratchpad.Add(1) // stay a little
	}
	l.linger(stay)
	if who := r.Who.Load(); who != me {
		l.Fault("semaphore: the room of lane %d was given to lane %d", l.ID, laneOf(who))
	}
	r.Who.Store(0)
	l.Label.Store(LabelGiving)
	l.Rec[recPermit].Store(permitReleasing)
	l.gives()
	if err := s.Sem.Release(); err != nil {
		return err
	}
	l.Rec[recPermit].Store(permitNone)
	l.Took(arena.Hold, begin)
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
	return nil
}

// acquire takes a permit; false: it has none.
func (s *semArea) acquire(l *Lane) bool { return l.permit(&s.Sem) }

// permit takes a permit in one of the ways there are; false: it has none. The look whether
// it is time to leave comes after the context: one that is made later nobody cancels.
func (l *Lane) permit(s *semaphore.Semaphore) bool {
	ctx := l.W.Context()
	if l.Stopping() {
		return false
	}
	switch l.Rand.Uint32N(32) {
	case 0:
		return s.TryAcquire()
	case 1:
		short, cancel := context.WithTimeout(ctx, time.Duration(l.Rand.Int64N(int64(time.Millisecond))))
		defer cancel()
		ctx = short
	}
	return l.acquired(ctx, s.Acquire(ctx))
}

// acquired says whether an Acquire that returned err took a permit.
func (l *Lane) acquired(ctx context.Context, err error) bool {
	if err != nil && ctx.Err() == nil {
		l.Fault("semaphore: Acquire failed although its context was not done: %v", err)
	}
	return err == nil
}

// enter finds a free room. Holders of permits never outnumber the rooms, so
// at every moment one is free for who holds a permit; a search may still miss
// it, as people move. It is proof of one too many when every room is occupied
// in two looks by the same stays: then between the looks all were inside at
// once, and so was the one who looks.
func (s *semArea) enter(l *Lane, me uint64) *room {
	n := int(s.Permits.Load())
	var seen [maxPermits]uint64
	for {
		for i := range n {
			r := &s.Rooms[i]
			if seen[i] = r.Who.Load(); seen[i] == 0 && r.Who.CompareAndSwap(0, me) {
				return r
			}
		}
		same := true
		for i := range n {
			same = same && seen[i] != 0 && s.Rooms[i].Who.Load() == seen[i]
		}
		if same {
			l.Fault("semaphore: lane %d holds a permit, and so do %d others: one more than there are", l.ID, n)
			return &room{} // nobody's; the run ends with this fault
		}
		runtime.Gosched()
	}
}

// conductSemaphore recounts at rest, again and again: every other stretch is
// free of kills, so that its count has to be exact.
func conductSemaphore(st Stage) {
	s := arena.At[semArea](st.Arena().Scenario(), 0)
	for calm := false; ; calm = !calm {
		st.Calm(calm)
		more := st.Sleep(semEpoch)
		if !st.Pause() {
			return
		}
		s.recount(st.Arena())
		st.Resume()
		if !more {
			return
		}
	}
}

// recount judges the permits. Everybody is parked and holds none.
func (s *semArea) recount(a *arena.Arena) {
	n := tally{s.Permits.Load(), s.Certain.Load(), s.Ambiguous.Load(), s.Asleep.Load()}
	s.Lost.Add(n.recount(a, "semaphore", &s.Sem))
	if n.ambiguous == 0 {
		s.Exact.Add(1)
	} else {
		s.Bounds.Add(1)
	}
	s.Certain.Store(0)
	s.Ambiguous.Store(0)
}

// tally is what is known of a semaphore when nobody uses it.
type tally struct {
	permits   uint64 // that there should be
	certain   uint64 // that died since the last recount
	ambiguous uint64 // that perhaps died since then
	asleep    uint64 // dead, since the beginning, who may have been counted as waiting
}

// recount compares the value with what it must be and restores the permits of
// the dead. It computes what is missing from the value itself; adding one back
// per death would be a guess (P-S4).
func (n tally) recount(a *arena.Arena, what string, s *semaphore.Semaphore) (restored uint64) {
	value := uint64(s.Value())
	if value+n.certain > n.permits || value+n.certain+n.ambiguous < n.permits {
		a.Fault(-1, "%s: %d permits at rest; %d in all, %d died with their holders, %d perhaps: expected %d to %d",
			what, value, n.permits, n.certain, n.ambiguous, int64(n.permits-n.certain-n.ambiguous), int64(n.permits-n.certain))
	}
	// Who does not sleep has taken back that he does, unless he died asleep.
	if counted := uint64(arena.Word(s, 1)); counted > n.asleep {
		a.Fault(-1, "%s: nobody waits, but %d are counted as waiting; at most %d died so", what, counted, n.asleep)
	}
	for ; value < n.permits; value++ {
		if err := s.Release(); err != nil {
			a.Fault(-1, "%s: restoring a permit: %v", what, err)
			break
		}
		restored++
	}
	return restored
}

// settle takes a dead worker's lanes into the accounts and frees their rooms:
// their permits are gone, so nobody else can be in need of them.
func (s *semArea) settle(a *arena.Arena, slot int) {
	n := int(a.Lanes.Load())
	for j := range n {
		rec := &a.Lane(slot, j).Rec[recPermit]
		switch rec.Load() {
		case permitHeld:
			s.Certain.Add(1)
		case permitAcquiring:
			s.Ambiguous.Add(1)
			s.Asleep.Add(1)
		case permitReleasing:
			s.Ambiguous.Add(1)
		}
		rec.Store(permitNone)
	}
	for i := range s.Permits.Load() {
		if who := s.Rooms[i].Who.Load(); who != 0 && laneOf(who)/n == slot {
			s.Rooms[i].Who.Store(0)
		}
	}
}

func (s *semArea) check(f *Findings) {
	permits, value := s.Permits.Load(), uint64(s.Sem.Value())
	if value != permits || s.Certain.Load()+s.Ambiguous.Load() != 0 {
		f.Faults = append(f.Faults, fmt.Sprintf("semaphore: all have left, nobody was killed since the last recount, "+
			"and the value is %d, not %d", value, permits))
	}
	for i := range permits {
		if who := s.Rooms[i].Who.Load(); who != 0 {
			f.Faults = append(f.Faults, fmt.Sprintf("semaphore: all have left, but lane %d is still inside", laneOf(who)))
		}
	}
	f.Notes = append(f.Notes, fmt.Sprintf("permits %d died and restored %d recounts %d exact %d bounded",
		permits, s.Lost.Load(), s.Exact.Load(), s.Bounds.Load()))
	f.Metric("permits_restored", float64(s.Lost.Load()))
}
