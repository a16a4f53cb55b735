package scenario

import (
	"fmt"
	"sync/atomic"
	"time"

	"interlock/stress/internal/arena"
)

// Who comes to the page: readers have the numbers from 0 on, then come the writers.
const (
	Readers  = 4
	Writers  = 2
	Visitors = Readers + Writers
)

// Page is somebody's way to let readers and writers in. me is who calls.
type Page struct {
	StartRead, EndRead   func(me int)
	StartWrite, EndWrite func(me int)
}

// ReadersWriters attaches such a page.
type ReadersWriters struct {
	Name   string
	Size   int
	Attach func(mem []byte) (Page, error)
}

// pageArea is what is read and written: one number, kept twice.
type pageArea struct {
	guarded               // its canary names the writer
	Came    atomic.Uint64 // readers that have come in so far
	Shared  atomic.Uint64 // times that a reader met one who came later
}

// A reader's record.
const (
	recReading = recDone + 1 + iota // its name while it is inside, else 0
	recCame                         // as the how manieth it came in
)

const labelReading = labelRepairing + 1

// readerStays is how long a reader stays for another to come. If none may come, a writer
// waits: that is what it should be.
const readerStays = 30 * time.Millisecond

// Plan is the page with these rules of the house.
func (p ReadersWriters) Plan() *Plan {
	page := func(a *arena.Arena) *pageArea { return arena.At[pageArea](a.Scenario(), 0) }
	plan := puzzle[pageArea](p.Name, "readers share, a writer is alone, and nobody starves", Visitors, p.Size)
	plan.Labels = []string{"writes", "writes", "writes", "writes", "reads"}
	plan.Traps = []uint32{labelHalf, labelReading}
	plan.Attach = func(w *Worker) (Body, error) {
		house, err := p.Attach(behind[pageArea](w.Arena, p.Size))
		if err != nil {
			return Body{}, err
		}
		w.Arena.Lane(w.Index, 0).Rec[recReading].Store(0) // a reader before us was killed
		step := page(w.Arena).read
		if w.Index >= Readers {
			step = page(w.Arena).write
		}
		return Body{Step: func(l *Lane) error { step(l, house); return nil }}, nil
	}
	plan.Conduct = func(st Stage) {
		watchStarving(st, func(i int) string { return fmt.Sprintf("%s %d (pid %d)", kind(i), i, st.PID(i)) }, "turn")
	}
	plan.Check = func(a *arena.Arena, f *Findings) { page(a).check(a, f) }
	plan.Words = func(a *arena.Arena) []Word { return page(a).words(a) }
	return plan
}

func kind(visitor int) string {
	if visitor < Readers {
		return "reader"
	}
	return "writer"
}

// write is one visit of a writer.
func (p *pageArea) write(l *Lane, house Page) {
	a := l.W.Arena
	l.Label.Store(LabelWaiting)
	begin := l.Begin()
	house.StartWrite(l.ID)
	l.Took(arena.Wait, begin)
	if c := p.Canary.Load(); c != 0 && dead(a, c) {
		p.redo(a)
	}
	if c := p.Canary.Swap(l.name()); c != 0 {
		l.Fault("two writers are inside: %s and %s", called("writer", c), called("writer", l.name()))
	}
	for i := range Readers {
		if r := a.Lane(i, 0).Rec[recReading].Load(); r != 0 && !dead(a, r) {
			l.Fault("%s is inside, and so is %s", called("writer", l.name()), called("reader", r))
		}
	}
	p.add(l, l.sometimes())
	p.Canary.Store(0)
	l.Label.Store(LabelGiving)
	house.EndWrite(l.ID)
	l.Ops.Add(1)
	l.leaves()
}

// read is one visit of a reader.
func (p *pageArea) read(l *Lane, house Page) {
	a := l.W.Arena
	inside := &l.Rec[recReading]
	l.Label.Store(LabelWaiting)
	begin := l.Begin()
	house.StartRead(l.ID)
	l.Took(arena.Wait, begin)
	l.Rec[recCame].Store(p.Came.Add(1))
	inside.Store(l.name())
	l.Reach(labelReading)
	c := p.Canary.Load()
	if c != 0 && !dead(a, c) {
		l.Fault("%s is inside, and so is %s", called("reader", l.name()), called("writer", c))
	}
	before := p.look()
	p.stay(l)
	// What a dead writer has left half done the next writer finishes; until then it is torn.
	if after := p.look(); c == 0 && (before != after || after[0] != after[1]) {
		l.Fault("%s saw a torn value: %d in one half and %d in the other, and a moment later %d and %d",
			called("reader", l.name()), before[0], before[1], after[0], after[1])
	}
	inside.Store(0)
	l.Label.Store(LabelGiving)
	house.EndRead(l.ID)
	l.Ops.Add(1)
	l.leaves()
}

// leaves is the time between two visits.
func (l *Lane) leaves() {
	l.Label.Store(LabelIdle)
	time.Sleep(time.Duration(l.Rand.Int64N(int64(100 * time.Microsecond))))
}

// look reads both halves by plain loads.
//
//go:noinline
func (p *pageArea) look() [2]uint64 { return [2]uint64{p.A, p.B} }

// stay lasts until a reader that came later is inside, but not for long. So readers who
// are let in past a waiting writer never leave the page to it.
func (p *pageArea) stay(l *Lane) {
	a, mine := l.W.Arena, l.Rec[recCame].Load()
	for begin := time.Now(); time.Since(begin) < readerStays && !l.Stopping(); time.Sleep(50 * time.Microsecond) {
		for i := range Readers {
			rec := &a.Lane(i, 0).Rec
			if r := rec[recReading].Load(); r != 0 && rec[recCame].Load() > mine && !dead(a, r) {
				p.Shared.Add(1)
				return
			}
		}
	}
}

// words say who is inside.
func (p *pageArea) words(a *arena.Arena) (words []Word) {
	if c := p.Canary.Load(); c != 0 {
		words = append(words, Word{"inside", called("writer", c) + fate(a, c)})
	}
	for i := range Readers {
		if r := a.Lane(i, 0).Rec[recReading].Load(); r != 0 {
			words = append(words, Word{"inside", called("reader", r) + fate(a, r)})
		}
	}
	if words == nil {
		words = []Word{{"inside", "nobody"}}
	}
	return words
}

func (p *pageArea) check(a *arena.Arena, f *Findings) {
	var reads uint64
	for i := range Readers {
		reads += a.Lane(i, 0).Ops.Load()
	}
	p.guarded.check(a, f, "page")
	if p.Shared.Load() == 0 {
		f.Faults = append(f.Faults, fmt.Sprintf("readers do not share: in %d reads never were two inside at once", reads))
	}
	deaths(a, f)
	f.Notes = append(f.Notes, fmt.Sprintf("reads %d (%d met a later one) writes %d", reads, p.Shared.Load(), a.Sum(recDone)))
}
