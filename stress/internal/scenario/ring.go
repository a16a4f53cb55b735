package scenario

import (
	"fmt"
	"sync/atomic"
	"time"

	"interlock/semaphore"
	"interlock/stress/internal/arena"
)

// ringArea is a ring whose users wait on two semaphores, one with a permit for each place
// that is free and one with a permit for each item, as the textbooks have it: take a
// permit of the one, change the ring, give a permit of the other.
//
// Who is killed on the way takes a permit along, of the one or of the other, and the ring
// is smaller by one place, or keeps one item that nobody can get, until somebody counts:
// how many permits there should be is plain from the ring itself. Each lane keeps an account
// of what died with those before it; so a recount knows how many may be missing.
type ringArea struct {
	ringBuffer
	Free, Filled semaphore.Semaphore

	Asleep [2]atomic.Uint64 // of each, dead, since the beginning, who may be counted as waiting
	Lost   atomic.Uint64    // permits restored
	Exact  atomic.Uint64    // recounts without ambiguity
	Bounds atomic.Uint64    // recounts with
}

// recTurn is a lane's account, beside what the ring knows of it. It is one word, so that a
// kill finds it before a change or after it, and never between:
//
//	bits 0-1    where the lane is in its turn
//	     8-15   its changes of the ring before this turn: so the turn's own shows
//	     16-63  of the dead in this lane, since the last recount, four numbers of 12 bits
const recTurn = recUsed + 1

// Where a lane is in its turn.
const (
	turnNone   uint64 = iota
	turnTaking        // may have its permit
	turnHas           // has it, and perhaps has changed the ring
	turnGiving        // has changed the ring, and may have given the other permit
)

const turnMask = 3

// What died with a lane; the first semaphore is the one it takes from.
const (
	diedFirst  = 16 + 12*iota
	diedSecond // its change is in the ring
	perhapsFirst
	perhapsSecond
	diedMask = 1<<12 - 1
)

// Labels of the ring scenario.
const (
	labelRingPermit = labelRingOwn + iota
	labelRingGiving
)

// ringEpoch is the time between two recounts.
const ringEpoch = 100 * time.Millisecond

func ringPlan() *Plan {
	return &Plan{
		Name:     "ring",
		About:    "a bounded buffer over two semaphores: each item exactly once and in order, and a permit for each place and each item",
		Labels:   []string{"journal open", "half changed", "not unlocked", "item in hand", "has a permit", "giving the other"},
		Duration: time.Second,
		Shape:    Shape{Procs: 4, Lanes: 4},
		Least:    Shape{Procs: 2, Lanes: 1},
		Traps:    []uint32{labelRingPermit, labelRingOpen, labelRingHalf, labelRingDone, labelRingGiving, labelRingUsing},
		Held:     []uint32{labelRingOpen, labelRingHalf, labelRingDone},
		Marks:    []string{"E-S", "E-M"},
		Area:     func(procs, lanes int) int { return arena.SizeOf[ringArea]() },
		Setup:    func(a *arena.Arena) { ringOf(a).Free.Init(ringSize) },
		Attach: func(w *Worker) (Body, error) {
			r := ringOf(w.Arena)
			r.Mu.OnOwnerDeath(func(pid int) error { r.repair(w, pid); return nil })
			settled := make([]bool, w.Arena.Lanes.Load())
			return Body{Step: func(l *Lane) error { return r.step(l, &settled[l.ID%len(settled)]) }, Nudge: w.rouse}, nil
		},
		Conduct: conductRing,
		Check:   func(a *arena.Arena, f *Findings) { ringOf(a).judge(a, f) },
		Words: func(a *arena.Arena) []Word {
			r := ringOf(a)
			return append(r.words(), Word{"free places", semWord(&r.Free)}, Word{"items", semWord(&r.Filled)})
		},
	}
}

func ringOf(a *arena.Arena) *ringArea { return arena.At[ringArea](a.Scenario(), 0) }

func semWord(s *semaphore.Semaphore) string {
	return fmt.Sprintf("value %d nwaiters %d", arena.Word(s, 0), arena.Word(s, 1))
}

// produces says what the lanes of a worker do; the others consume.
func produces(slot int) bool { return slot%2 == 0 }

// step is one turn; before the first one what a predecessor left is settled.
func (r *ringArea) step(l *Lane, settled *bool) error {
	produce, rec := produces(l.W.Index), &l.Rec[recTurn]
	first, second, moves := &r.Filled, &r.Free, &l.Rec[recTaken]
	if produce {
		first, second, moves = second, first, &l.Rec[recPushed]
	}
	l.Label.Store(LabelWaiting)
	if !*settled {
		leave := r.enter(l)
		settleTurn(rec, moves.Load())
		leave()
		*settled = true
	}
	died := rec.Load() >> diedFirst << diedFirst
	rec.Store(died | moves.Load()&0xff<<8 | turnTaking)
	begin := l.Begin()
	if !l.permit(first) {
		rec.Store(died)
		l.Label.Store(LabelIdle)
		return nil
	}
	begin = l.Took(arena.Wait, begin)
	rec.Store(died | moves.Load()&0xff<<8 | turnHas)
	l.Reach(labelRingPermit)
	r.change(l, produce)
	rec.Store(died | turnGiving)
	l.gives()
	l.Reach(labelRingGiving)
	if err := second.Release(); err != nil {
		return err
	}
	rec.Store(died)
	l.Took(arena.Hold, begin)
	if !produce {
		l.use()
	}
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
	return nil
}

// change is what a permit is for. There is room, or an item, or the permit is one too many.
func (r *ringArea) change(l *Lane, produce bool) {
	defer r.enter(l)()
	items := r.Tail - r.Head
	switch {
	case produce && items < ringSize:
		r.push(l)
	case produce:
		l.Fault("ring: lane %d has a permit for a free place, and there is none", l.ID)
	case items > 0:
		r.adopt(l)
		r.pop(l)
	default:
		l.Fault("ring: lane %d has a permit for an item, and there is none", l.ID)
	}
}

// settleTurn takes the turn in which a lane died into its account. moves is how often it
// has changed the ring, after a repair.
func settleTurn(rec *atomic.Uint64, moves uint64) {
	word := rec.Load()
	died := word >> diedFirst << diedFirst
	switch word & turnMask {
	case turnTaking:
		died += 1 << perhapsFirst
	case turnHas:
		if word>>8&0xff == moves&0xff {
			died += 1 << diedFirst
		} else {
			died += 1 << diedSecond
		}
	case turnGiving:
		died += 1 << perhapsSecond
	}
	rec.Store(died)
}

// conductRing recounts at rest, again and again: every other stretch is free of kills, so
// that its count has to be exact.
func conductRing(st Stage) {
	for calm := false; ; calm = !calm {
		st.Calm(calm)
		more := st.Sleep(ringEpoch)
		if !st.Pause() {
			return
		}
		ringOf(st.Arena()).recount(st.Arena())
		st.Resume()
		if !more {
			return
		}
	}
}

// recount closes the accounts of all lanes and judges the permits. Everybody is parked and
// has none. A mutex whose owner died may still be an orphan: what that one began is finished
// here; to repair the mutex is for the next who locks it.
func (r *ringArea) recount(a *arena.Arena) {
	r.redo(a)
	free, filled := tally{permits: ringSize - (r.Tail - r.Head)}, tally{permits: r.Tail - r.Head}
	for id := range a.LaneCount() {
		rec := &a.LaneByID(id).Rec
		first, second, asleep, moves := &filled, &free, &r.Asleep[1], rec[recTaken].Load()
		if produces(id / int(a.Lanes.Load())) {
			first, second, asleep, moves = second, first, &r.Asleep[0], rec[recPushed].Load()
		}
		settleTurn(&rec[recTurn], moves)
		died := rec[recTurn].Load()
		first.certain += died >> diedFirst & diedMask
		second.certain += died >> diedSecond & diedMask
		first.ambiguous += died >> perhapsFirst & diedMask
		second.ambiguous += died >> perhapsSecond & diedMask
		asleep.Add(died >> perhapsFirst & diedMask)
		rec[recTurn].Store(turnNone)
	}
	free.asleep, filled.asleep = r.Asleep[0].Load(), r.Asleep[1].Load()
	r.Lost.Add(free.recount(a, "ring, free places", &r.Free) + filled.recount(a, "ring, items", &r.Filled))
	if free.ambiguous+filled.ambiguous == 0 {
		r.Exact.Add(1)
	} else {
		r.Bounds.Add(1)
	}
}

// judge judges what is left when all have left. Nobody was killed since the last recount.
func (r *ringArea) judge(a *arena.Arena, f *Findings) {
	r.ringBuffer.check(a, f)
	if free, items, want := r.Free.Value(), r.Filled.Value(), r.Tail-r.Head; uint64(items) != want || uint64(free) != ringSize-want {
		f.Faults = append(f.Faults, fmt.Sprintf("ring: all have left, nobody was killed since the last recount, "+
			"%d of %d places are taken, and there are %d permits for free ones and %d for items", want, ringSize, free, items))
	}
	f.Notes = append(f.Notes, fmt.Sprintf("permits died and restored %d recounts %d exact %d bounded", r.Lost.Load(), r.Exact.Load(), r.Bounds.Load()))
	f.Metric("permits_restored", float64(r.Lost.Load()))
}
