package scenario

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"interlock/semaphore"
	"interlock/shm"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/leftover"
)

// segArea counts, for each name, who initialised it and who saw what.
type segArea struct {
	PID   atomic.Uint64 // the supervisor's, part of every name
	Start atomic.Uint64
	Round atomic.Uint64 // the name that everybody asks for now
	Swept atomic.Uint64 // names up to this one are judged and removed again
	Again atomic.Uint64 // inits that were begun anew after a death
	Names [segNames]segName
}

// segName is the account of one name; a later name has it after it is swept.
type segName struct {
	Begun   atomic.Uint64 // init was entered
	Done    atomic.Uint64 // init came to its end
	Excused atomic.Uint64 // of those, killed before they could publish
	Winner  atomic.Uint64 // the mark that everybody must find in the segment
	Opened  atomic.Uint64 // OpenOrCreate returned a segment
	_       [24]byte
}

const (
	segNames   = 256      // the most names that are not swept yet
	segSize    = 16 << 10 // bytes of each segment
	segWords   = segSize / 8
	segPermits = 7 // of each named semaphore
)

// What a lane says about itself.
const (
	recSegState = iota // segIdle … segInitDone
	recSegRound        // the name it is at
)

const (
	segIdle uint64 = iota
	segOpening
	segInit
	segInitDone
)

// Labels of the segment scenario.
const (
	labelInitBegun = LabelOwn + iota
	labelInitHalf
	labelInitDone
)

func segmentPlan() *Plan {
	return &Plan{
		Name:     "segment",
		About:    "all OpenOrCreate one segment and one named semaphore at once, creators killed inside: one initialiser, all see it complete",
		Labels:   []string{"init begun", "init half done", "init done"},
		Duration: 1400 * time.Millisecond,
		Shape:    Shape{Procs: 4, Lanes: 2},
		Least:    Shape{Procs: 1, Lanes: 1},
		Directed: true,
		Traps:    []uint32{labelInitBegun, labelInitHalf, labelInitDone},
		Marks:    []string{"semaphore.Open"},
		Area:     func(procs, lanes int) int { return arena.SizeOf[segArea]() },
		Setup: func(a *arena.Arena) {
			s := arena.At[segArea](a.Scenario(), 0)
			s.PID.Store(uint64(os.Getpid()))
			s.Start.Store(leftover.StartTime(os.Getpid()))
		},
		Attach: func(w *Worker) (Body, error) {
			s := arena.At[segArea](w.Arena.Scenario(), 0)
			return Body{Step: s.step}, nil
		},
		Conduct: conductSegment,
		Settle:  settleSegment,
		Check:   checkSegment,
		Cleanup: cleanupSegment,
		Words: func(a *arena.Arena) []Word {
			s := arena.At[segArea](a.Scenario(), 0)
			n := &s.Names[s.Round.Load()%segNames]
			return []Word{{s.name(s.Round.Load()), fmt.Sprintf("init begun %d done %d, opened by %d",
				n.Begun.Load(), n.Done.Load(), n.Opened.Load())}}
		},
	}
}

func (s *segArea) name(round uint64) string {
	return leftover.SegmentName(int(s.PID.Load()), s.Start.Load(), round)
}

// step opens the name of the current round, once.
func (s *segArea) step(l *Lane) error {
	round := s.Round.Load()
	if round == 0 || round == l.Rec[recSegRound].Load() {
		time.Sleep(100 * time.Microsecond)
		return nil
	}
	// Say where we are before looking again: the supervisor, which moves the
	// round on before it removes the name, sees us or we see the new round.
	l.Rec[recSegState].Store(segOpening)
	l.Rec[recSegRound].Store(round)
	l.Label.Store(LabelWaiting)
	defer func() {
		l.Rec[recSegState].Store(segIdle)
		l.Label.Store(LabelIdle)
	}()
	if s.Round.Load() != round {
		l.Rec[recSegRound].Store(round - 1)
		return nil
	}
	n := &s.Names[round%segNames]
	begin := arena.Now() // each: it takes long enough
	seg, err := shm.OpenOrCreate(context.Background(), s.name(round), segSize, func(seg *shm.Segment) error {
		return s.init(l, n, seg)
	})
	if err != nil {
		return err
	}
	l.Took(arena.Wait, begin)
	l.Rec[recSegState].Store(segOpening) // it is published: a death is no excuse any more
	n.Opened.Add(1)
	s.examine(l, n, seg)
	if err := s.permits(l, round); err != nil {
		return err
	}
	l.Ops.Add(1)
	return seg.Close()
}

// permits opens the named semaphore of the same name, makes it if it is not there, and
// finds it complete: nobody takes any permit.
func (s *segArea) permits(l *Lane, round uint64) error {
	sem, err := semaphore.Open(s.name(round), semaphore.Create(segPermits))
	if err != nil {
		return err
	}
	if v := sem.Value(); v != segPermits {
		l.Fault("segment: round %d: the named semaphore has %d permits, not %d", round, v, segPermits)
	}
	return sem.Close()
}

// init marks the whole segment with a number of its own.
func (s *segArea) init(l *Lane, n *segName, seg *shm.Segment) error {
	l.Rec[recSegState].Store(segInit)
	n.Begun.Add(1)
	words := arena.At[[segWords]uint64](seg.Bytes(), 0)
	l.Reach(labelInitBegun)
	mark := uint64(l.W.Slot.PID.Load())<<32 | l.Rec[recSegRound].Load()<<8 | uint64(l.ID&255)
	for i, w := range words {
		if w != 0 {
			l.Fault("segment: init was given memory that is not zero: word %d is %#x", i, w)
			break
		}
		words[i] = mark
		if i == segWords/2 {
			l.Reach(labelInitHalf)
		}
	}
	// First the record, then the count: killed between, it is excused for an
	// end that was not counted, which only makes the bound wider by one.
	l.Rec[recSegState].Store(segInitDone)
	n.Done.Add(1)
	l.Reach(labelInitDone)
	return nil
}

// examine checks that the segment is complete and the same for all.
func (s *segArea) examine(l *Lane, n *segName, seg *shm.Segment) {
	words := arena.At[[segWords]uint64](seg.Bytes(), 0)
	mark := words[0]
	for i, w := range words {
		if w != mark || w == 0 {
			l.Fault("segment: round %d: word %d is %#x, the first is %#x: not completely initialised", l.Rec[recSegRound].Load(), i, w, mark)
			return
		}
	}
	if !n.Winner.CompareAndSwap(0, mark) && n.Winner.Load() != mark {
		l.Fault("segment: round %d: two segments under one name, marked %#x and %#x", l.Rec[recSegRound].Load(), n.Winner.Load(), mark)
	}
}

// conductSegment gives out name after name, and removes those that nobody is
// at any more.
func conductSegment(st Stage) {
	a := st.Arena()
	s := arena.At[segArea](a.Scenario(), 0)
	for round := uint64(1); ; round++ {
		for round-s.Swept.Load() >= segNames { // somebody has been at an old one for very long
			if !st.Sleep(time.Millisecond) {
				return
			}
			s.sweep(a, round)
		}
		s.Round.Store(round)
		n := &s.Names[round%segNames]
		for waited := 0; n.Opened.Load() < uint64(a.LaneCount()) && waited < 50; waited++ {
			if !st.Sleep(time.Millisecond) {
				return
			}
		}
		s.sweep(a, round)
		if !st.Sleep(time.Duration(st.Random(2000)) * time.Microsecond) {
			return
		}
	}
}

// sweep judges and removes the names before round, up to the first that
// somebody is at.
func (s *segArea) sweep(a *arena.Arena, round uint64) {
	for k := s.Swept.Load() + 1; k < round; k++ {
		for id := range a.LaneCount() {
			rec := &a.LaneByID(id).Rec
			if rec[recSegState].Load() != segIdle && rec[recSegRound].Load() <= k {
				return
			}
		}
		s.judge(a, k)
		if err := shm.Remove(s.name(k)); err != nil && !errors.Is(err, shm.ErrNotExist) {
			a.Fault(-1, "segment: %v", err)
			return
		}
		if err := semaphore.Unlink(s.name(k)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.Fault(-1, "segment: %v", err)
			return
		}
		s.Swept.Store(k)
	}
}

// judge closes the account of name k.
func (s *segArea) judge(a *arena.Arena, k uint64) {
	n := &s.Names[k%segNames]
	begun, done, excused := n.Begun.Load(), n.Done.Load(), n.Excused.Load()
	if n.Opened.Load() > 0 && (done < 1 || done > 1+excused) {
		a.Fault(-1, "segment: name %d: init came to its end %d times, %d of them killed before publishing: want exactly one more", k, done, excused)
	}
	s.Again.Add(begun - min(begun, 1))
	n.Begun.Store(0)
	n.Done.Store(0)
	n.Excused.Store(0)
	n.Winner.Store(0)
	n.Opened.Store(0)
}

// settleSegment excuses an initialiser that was killed after its work, before
// anybody could see it: then the next one rightly does it again.
func settleSegment(a *arena.Arena, slot int) {
	s := arena.At[segArea](a.Scenario(), 0)
	for j := range int(a.Lanes.Load()) {
		rec := &a.Lane(slot, j).Rec
		if rec[recSegState].Load() == segInitDone {
			s.Names[rec[recSegRound].Load()%segNames].Excused.Add(1)
		}
		rec[recSegState].Store(segIdle)
	}
}

func checkSegment(a *arena.Arena, f *Findings) {
	s := arena.At[segArea](a.Scenario(), 0)
	last := s.Round.Load()
	before := a.Faults.Load()
	s.sweep(a, last+1)
	if a.Faults.Load() > before {
		f.Faults = append(f.Faults, a.FaultTexts()...)
	}
	left, err := leftover.Segments(int(s.PID.Load()), s.Start.Load())
	if err != nil || len(left) > 0 || s.Swept.Load() != last {
		f.Faults = append(f.Faults, fmt.Sprintf("segment: left in /dev/shm after Remove of %d names of %d: %v %v", s.Swept.Load(), last, left, err))
	}
	f.Notes = append(f.Notes, fmt.Sprintf("names %d inits repeated after a death %d", last, s.Again.Load()))
	f.Metric("names", float64(last))
}

// cleanupSegment removes what is left when the run was broken off.
func cleanupSegment(a *arena.Arena) error {
	s := arena.At[segArea](a.Scenario(), 0)
	left, err := leftover.Segments(int(s.PID.Load()), s.Start.Load())
	if err != nil {
		return err
	}
	return errors.Join(leftover.Remove(left), s.tidy())
}

// tidy removes what makers of named semaphores left that were killed before they gave it
// its name: making another one does.
func (s *segArea) tidy() error {
	sem, err := semaphore.Open(s.name(0), semaphore.Create(0))
	if err != nil {
		return err
	}
	return errors.Join(sem.Close(), semaphore.Unlink(s.name(0)))
}
