package trial

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"interlock/condvar"
	"interlock/mutex"
	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
)

// Wrong solutions of the puzzles, each of which breaks one promise.

// air is a table whose forks are nobody's.
type air struct{ _ uint64 }

func (*air) Arrive() {}
func (*air) Dine(s Seat) {
	s.Took(s.Left())
	s.Took(s.Right())
	s.Eat()
	s.Gave(s.Left())
	s.Gave(s.Right())
}

// mortal takes both forks or none, but a dead philosopher keeps them.
type mortal struct {
	Mu    mutex.Mutex
	Freed condvar.Cond
	Taken [Seats]uint32
}

func (m *mortal) Arrive() { m.Mu.OnOwnerDeath(func(int) error { return nil }) }
func (m *mortal) Dine(s Seat) {
	m.Mu.Lock()
	for m.Taken[s.Left()]+m.Taken[s.Right()] > 0 {
		m.Freed.Wait(&m.Mu)
	}
	m.Taken[s.Left()], m.Taken[s.Right()] = 1, 1
	s.Took(s.Left())
	s.Took(s.Right())
	m.Mu.Unlock()
	s.Eat()
	m.Mu.Lock()
	s.Gave(s.Left())
	s.Gave(s.Right())
	m.Taken[s.Left()], m.Taken[s.Right()] = 0, 0
	m.Freed.Broadcast()
	m.Mu.Unlock()
}

// sated never eats.
type sated struct{ _ uint64 }

func (*sated) Arrive()     {}
func (*sated) Dine(s Seat) {}

// alone lets nobody share; open lets everybody in.
type alone struct{ Mu mutex.Mutex }

func (a *alone) Arrive()        { a.Mu.OnOwnerDeath(func(int) error { return nil }) }
func (a *alone) StartRead(int)  { a.Mu.Lock() }
func (a *alone) EndRead(int)    { a.Mu.Unlock() }
func (a *alone) StartWrite(int) { a.Mu.Lock() }
func (a *alone) EndWrite(int)   { a.Mu.Unlock() }

type open struct{ _ uint64 }

func (*open) Arrive()        {}
func (*open) StartRead(int)  {}
func (*open) EndRead(int)    {}
func (*open) StartWrite(int) {}
func (*open) EndWrite(int)   {}

// sleeps is right, if its room is; the three after it are not: one looks again and again,
// one drops an item, and one takes more than there is room for.
type sleeps struct {
	Mu      mutex.Mutex
	Changed condvar.Cond
	Items   [16]uint64
	In, Out uint64
}

func (b *sleeps) Arrive()         {}
func (b *sleeps) Put(item uint64) { b.put(item, Room, func() { b.Changed.Wait(&b.Mu) }) }
func (b *sleeps) Get() uint64     { return b.get(func() { b.Changed.Wait(&b.Mu) }) }

func (b *sleeps) put(item, room uint64, wait func()) {
	b.Mu.Lock()
	defer b.Mu.Unlock()
	for b.In-b.Out == room {
		wait()
	}
	b.Items[b.In%16] = item
	b.In++
	b.Changed.Broadcast()
}

func (b *sleeps) get(wait func()) uint64 {
	b.Mu.Lock()
	defer b.Mu.Unlock()
	for b.In == b.Out {
		wait()
	}
	b.Out++
	b.Changed.Broadcast()
	return b.Items[(b.Out-1)%16]
}

type polls struct{ sleeps }

func (p *polls) again() {
	p.Mu.Unlock()
	runtime.Gosched()
	p.Mu.Lock()
}

func (p *polls) Put(item uint64) { p.put(item, Room, p.again) }
func (p *polls) Get() uint64     { return p.get(p.again) }

type forgets struct {
	sleeps
	Puts atomic.Uint64
}

func (f *forgets) Put(item uint64) {
	if f.Puts.Add(1) != 50 {
		f.sleeps.Put(item)
	}
}

type hoards struct{ sleeps }

func (h *hoards) Put(item uint64) { h.put(item, Room+1, func() { h.Changed.Wait(&h.Mu) }) }

type pointers struct{ P *int }

func (*pointers) Arrive()     {}
func (*pointers) Dine(s Seat) {}

var wrong = []struct {
	puzzle Puzzle
	code   report.Code
	want   string
}{
	{Philosophers[air]("air"), report.Broke, "is in two hands: philosopher"},
	{Philosophers[mortal]("mortal"), report.Hang, "killed"},
	{Philosophers[sated]("sated"), report.Broke, "ate 0 times in one meal"},
	{Philosophers[pointers]("pointers"), report.Setup, "laid over shared memory"},
	{ReadersWriters[alone]("alone"), report.Broke, "readers do not share"},
	{ReadersWriters[open]("open"), report.Broke, "is inside"},
	{Producers[polls]("polls"), report.Broke, "polls: for"},
	{Producers[forgets]("forgets"), report.Broke, " lost: "},
	{Producers[hoards]("hoards"), report.Broke, "there is room for 8 items"},
}

func wrongPlans() (plans []*scenario.Plan) {
	for _, w := range wrong {
		plans = append(plans, w.puzzle.plan)
	}
	return plans
}

// Each promise of a puzzle, broken, is seen and named.
func TestWrongSolutionsAreSeen(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, w := range wrong {
		var out bytes.Buffer
		args := []string{"x", "-kill", "20"}
		code := solve(context.Background(), w.puzzle, w.puzzle, args, &out, &out)
		if t.Log(out.String()); code != w.code || !strings.Contains(out.String(), w.want) {
			t.Errorf("%s: code %d, want %d with %q", w.puzzle.plan.Name, code, w.code, w.want)
		}
	}
}

func TestSolveFlags(t *testing.T) {
	for _, line := range []string{"x y", "x -duration 1ms", "x -kill -1", "x -nosuch"} {
		var out bytes.Buffer
		if code := solve(context.Background(), wrong[0].puzzle, wrong[0].puzzle, strings.Fields(line), &out, &out); code != report.Usage || out.Len() == 0 {
			t.Errorf("%s: code %d\n%s", line, code, &out)
		}
	}
}
