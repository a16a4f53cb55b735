package scenario

import (
	"fmt"
	"time"

	"interlock/stress/internal/arena"
)

// The puzzles are tasks for people who learn. What they write is laid over the memory
// behind a puzzle's area and is called by its workers, each a process with one goroutine;
// the checks are the puzzle's. In the beginning nobody is killed: a mistake that has
// nothing to do with death shows as what it is.
const (
	PuzzleDuration = 6500 * time.Millisecond
	PuzzleHang     = 3 * time.Second // a busy machine takes long to end a process
	PuzzleKills    = 8               // a second
	puzzleQuiet    = 3500 * time.Millisecond
	puzzleCalm     = 5 * time.Second // a busy machine may stretch puzzleQuiet so far, and no further
	puzzleStarves  = 1500 * time.Millisecond
)

// over is the offset of the solver's memory behind an area of type T.
func over[T any]() int { return (arena.SizeOf[T]() + ownAlign - 1) &^ (ownAlign - 1) }

// behind is the solver's memory.
func behind[T any](a *arena.Arena, size int) []byte { return a.Scenario()[over[T]():][:size:size] }

// puzzle is the part of a plan that all have in common.
func puzzle[T any](name, about string, procs, size int) *Plan {
	return &Plan{
		Name: name, About: about, Duration: PuzzleDuration, Quiet: puzzleQuiet,
		Shape: Shape{procs, 1}, Least: Shape{procs, 1}, Fixed: true,
		Area: func(int, int) int { return over[T]() + size },
	}
}

// overtaken: so many operations of the others while one waits for puzzleStarves
// are no bad luck.
const overtaken = 100

// puzzleStill: if nobody has done anything for so long, they do not starve, they all hang.
const puzzleStill = 300 * time.Millisecond

// mostLooked is how much of the time between two looks counts: while the machine keeps us
// from looking, it may keep the workers from running, too.
const mostLooked = 20 * time.Millisecond

// watchStarving looks, until the run comes to its end, for a worker that gets nothing
// while others do. Nobody is killed before that could have shown without. title says
// who it is.
func watchStarving(st Stage, title func(slot int) string, what string) {
	a := st.Arena()
	last := make([]lookedAt, a.Procs.Load())
	st.Calm(true)
	var looked, still time.Duration // still: since anybody did anything
	var before uint64
	started := time.Now()
	for begin := started; (st.Sleep(lookEach) || looked < puzzleQuiet) && !st.Over(); {
		time.Sleep(time.Until(begin.Add(lookEach))) // st.Sleep has done it, but at the end
		lasted := min(time.Since(begin), mostLooked)
		begin = time.Now()
		if looked += lasted; looked > puzzleQuiet || time.Since(started) > puzzleCalm {
			st.Calm(false)
		}
		all, patience := a.Ops(), puzzleStarves
		if still += lasted; all != before {
			before, still = all, 0
		}
		if a.Kills.Load() > 0 {
			patience *= 3 // the dead must be gone, and replaced
		}
		for i := range last {
			w := &last[i]
			own, gen := a.Lane(i, 0).Ops.Load(), a.Slot(i).Gen.Load()
			if own != w.own || gen != w.gen || !st.Ready(i) || st.Slow() {
				*w = lookedAt{gen: gen, own: own, all: all}
				continue
			}
			if w.waits += lasted; w.waits > patience && all-w.all > overtaken && still < puzzleStill {
				st.Hang("%s starves: no %s for %v, while the others had %d", title(i), what, w.waits.Round(10*time.Millisecond), all-w.all)
				return
			}
		}
	}
}

// deaths says so if there were none: then a run that passed has not shown that anything
// survives one.
func deaths(a *arena.Arena, f *Findings) {
	if a.Kills.Load() == 0 {
		f.Notes = append(f.Notes, "nobody was killed")
	}
}

// lookEach is the time between two looks.
const lookEach = 10 * time.Millisecond

// lookedAt is what a worker was seen to have done, and since when no more.
type lookedAt struct {
	gen      uint32
	own, all uint64 // operations, its own and everybody's
	waits    time.Duration
}

// dead says whether the name in a canary is of one who was killed.
func dead(a *arena.Arena, canary uint64) bool { return a.GraveOf(int(canary>>32)) != nil }

// called names a worker's lane as people of the puzzle know it.
func called(kind string, canary uint64) string {
	return fmt.Sprintf("%s %d (pid %d)", kind, uint32(canary)-1, canary>>32)
}

// fate is what became of whose name is in a canary.
func fate(a *arena.Arena, canary uint64) string {
	g := a.GraveOf(int(canary >> 32))
	if g == nil {
		return ""
	}
	return fmt.Sprintf(", killed %v ago: nobody has given it back", time.Duration(arena.Now()-g.At.Load()).Round(time.Millisecond))
}
