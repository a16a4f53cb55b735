package scenario

import (
	"fmt"
	"strings"
	"time"

	"interlock/stress/internal/arena"
)

// Seats is how many philosophers there are, and forks.
const Seats = 5

// Philosophers is somebody's way to dine. Dine is one meal.
type Philosophers struct {
	Name   string
	Size   int
	Attach func(mem []byte) (dine func(*Seat), err error)
}

// tableArea has for each fork who has it, and how often it was eaten with: a meal counts
// on both forks, by plain loads and stores, so that a second one with it shows.
type tableArea struct{ Forks [Seats]guarded }

// Labels of a philosopher, behind those of who changes what a fork guards.
const (
	labelOneFork = labelRepairing + 1 + iota
	labelTwoForks
)

// Seat is one philosopher at the table.
type Seat struct {
	l     *Lane
	table *tableArea
	has   [2]bool // the left fork, the right one
	ate   int     // in this meal
	begin int64
}

// Plan is the table with these philosophers.
func (p Philosophers) Plan() *Plan {
	table := func(a *arena.Arena) *tableArea { return arena.At[tableArea](a.Scenario(), 0) }
	plan := puzzle[tableArea](p.Name, "five philosophers, five forks, and one is killed at the table", Seats, p.Size)
	plan.Labels = []string{"eats", "eats", "eats", "eats", "one fork", "two forks"}
	plan.Traps = []uint32{labelOneFork, labelTwoForks, labelHalf}
	plan.Attach = func(w *Worker) (Body, error) {
		dine, err := p.Attach(behind[tableArea](w.Arena, p.Size))
		if err != nil {
			return Body{}, err
		}
		return Body{Step: func(l *Lane) error { (&Seat{l: l, table: table(w.Arena)}).dine(dine); return nil }}, nil
	}
	plan.Conduct = func(st Stage) {
		watchStarving(st, func(i int) string { return fmt.Sprintf("philosopher %d (pid %d)", i, st.PID(i)) }, "meal")
	}
	plan.Check = func(a *arena.Arena, f *Findings) { table(a).check(a, f) }
	plan.Words = func(a *arena.Arena) []Word { return table(a).words(a) }
	return plan
}

// dine is one meal, and what must be true after it.
func (s *Seat) dine(meal func(*Seat)) {
	l := s.l
	l.Label.Store(LabelWaiting)
	s.begin = l.Begin()
	meal(s)
	if s.has != [2]bool{} {
		l.Fault("philosopher %d went to think with a fork in the hand: there is no Gave for each Took", l.ID)
	}
	if s.ate != 1 {
		l.Fault("philosopher %d ate %d times in one meal", l.ID, s.ate)
	}
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
}

// Left and Right are the numbers of the forks.
func (s *Seat) Left() int  { return s.l.ID }
func (s *Seat) Right() int { return (s.l.ID + 1) % Seats }

func (s *Seat) side(fork int) *bool {
	switch fork {
	case s.Left():
		return &s.has[0]
	case s.Right():
		return &s.has[1]
	}
	panic(fmt.Sprintf("philosopher %d cannot reach fork %d: there are %d and %d", s.l.ID, fork, s.Left(), s.Right()))
}

// Took says that a fork is in the hand.
func (s *Seat) Took(fork int) {
	has, f, l := s.side(fork), &s.table.Forks[fork], s.l
	if *has {
		panic(fmt.Sprintf("philosopher %d has fork %d already", l.ID, fork))
	}
	*has = true
	if c := f.Canary.Load(); c != 0 && dead(l.W.Arena, c) {
		f.redo(l.W.Arena)
	}
	if c := f.Canary.Swap(l.name()); c != 0 {
		l.Fault("fork %d is in two hands: %s and %s", fork, called("philosopher", c), called("philosopher", l.name()))
	}
	if s.has[0] && s.has[1] {
		l.Reach(labelTwoForks)
		return
	}
	l.Reach(labelOneFork)
	s.ponder()
}

// ponder is the moment, with one fork in the hand, in which the others move.
func (s *Seat) ponder() {
	if s.l.Rand.Uint32N(4) == 0 {
		time.Sleep(time.Duration(s.l.Rand.Int64N(int64(200 * time.Microsecond))))
	} else {
		schedYield()
	}
}

// Eat is the meal itself.
func (s *Seat) Eat() {
	l := s.l
	if s.has != [2]bool{true, true} {
		panic(fmt.Sprintf("philosopher %d eats without two forks: there is a Took missing", l.ID))
	}
	l.Took(arena.Wait, s.begin)
	for _, fork := range []int{s.Left(), s.Right()} {
		s.table.Forks[fork].add(l, l.sometimes())
	}
	s.ate++
}

// Gave says that a fork is about to be out of the hand.
func (s *Seat) Gave(fork int) {
	has, l := s.side(fork), s.l
	if !*has {
		panic(fmt.Sprintf("philosopher %d does not have fork %d", l.ID, fork))
	}
	*has = false
	l.Label.Store(LabelGiving)
	if c := s.table.Forks[fork].Canary.Swap(0); c != l.name() {
		l.Fault("fork %d was taken from the hand of %s", fork, called("philosopher", l.name()))
	}
}

// words say who has what and waits for whom.
func (t *tableArea) words(a *arena.Arena) (words []Word) {
	next := map[int]int{} // who waits for whom
	for i := range Seats {
		pid := a.Slot(i).PID.Load()
		me := uint64(pid)<<32 | uint64(i+1)
		left, right := i, (i+1)%Seats
		hasLeft, hasRight := t.Forks[left].Canary.Load() == me, t.Forks[right].Canary.Load() == me
		state := "has no fork"
		switch {
		case hasLeft && hasRight:
			state = "has both forks"
		case hasLeft, hasRight:
			has, wants := left, right
			if hasRight {
				has, wants = right, left
			}
			state = fmt.Sprintf("has fork %d, has not got fork %d", has, wants)
			if c := t.Forks[wants].Canary.Load(); c != 0 && !dead(a, c) {
				next[i] = int(uint32(c)) - 1
				state += fmt.Sprintf(", which is in the hand of philosopher %d", next[i])
			}
		}
		words = append(words, Word{fmt.Sprintf("philosopher %d (pid %d)", i, pid), state})
	}
	for i := range t.Forks {
		if c := t.Forks[i].Canary.Load(); c != 0 && dead(a, c) {
			words = append(words, Word{fmt.Sprintf("fork %d", i), "in the hand of " + called("philosopher", c) + fate(a, c)})
		}
	}
	if c := circle(next); c != "" {
		words = append(words, Word{"a circle", c})
	}
	return words
}

// circle is the way round, if all wait for one another.
func circle(next map[int]int) string {
	way := []string{"0"}
	for at := 0; len(way) <= Seats; {
		to, ok := next[at]
		if !ok {
			return ""
		}
		at, way = to, append(way, fmt.Sprint(to))
	}
	if way[Seats] != "0" {
		return ""
	}
	return strings.Join(way, " waits for ")
}

func (t *tableArea) check(a *arena.Arena, f *Findings) {
	var forks uint64
	for i := range t.Forks {
		k := &t.Forks[i]
		if forks += k.A; k.A != k.B {
			f.Faults = append(f.Faults, fmt.Sprintf("fork %d was eaten with %d times by one count and %d by the other", i, k.A, k.B))
		}
	}
	if want := a.Sum(recDone); forks != want {
		f.Faults = append(f.Faults, fmt.Sprintf("the forks count %d uses, the philosophers %d (two for each meal)", forks, want))
	}
	// Who is killed between the last bite and the word that says so has eaten all the same.
	if ops, unsaid := a.Ops(), 2*uint64(a.Kills.Load()); forks < 2*ops || forks > 2*ops+unsaid {
		f.Faults = append(f.Faults, fmt.Sprintf("the forks count %d uses after %d meals and %d deaths", forks, ops, unsaid/2))
	}
	var meals []string
	for i := range Seats {
		meals = append(meals, fmt.Sprint(a.Lane(i, 0).Ops.Load()))
	}
	deaths(a, f)
	f.Notes = append(f.Notes, "meals "+strings.Join(meals, "+"))
}
