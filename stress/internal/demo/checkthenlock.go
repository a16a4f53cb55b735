package demo

import (
	"fmt"
	"sync/atomic"

	"interlock/mutex"
)

// gate is a lock of one's own making, and a way to see who is behind it.
type gate struct {
	Word   atomic.Uint32
	_      [60]byte
	Lock   mutex.Mutex
	_      [24]byte
	Inside [2]atomic.Uint32 // pids
	Both   atomic.Int64     // how often the second saw the first
	PIDs   [2]atomic.Uint32 // the first two that met
}

const entries = 100_000 // by each process

var checkThenLock = &Demo{
	Name:  "check-then-lock",
	Title: "two owners of one lock",
	Story: `A lock is a word: 0 is free, 1 is taken. Two processes wait until it is 0, make it 1, go in, come out and make it 0. Each
writes its pid on the door when it is in, and looks whether there is another.`,
	Quiz: Quiz{
		Question: "Can both be inside at once?",
		Choices:  []string{"no: whoever comes second finds a 1", "yes", "only if they have one CPU each"},
		Right:    1,
		Because:  "To look and to write are two steps; on one CPU the kernel changes processes between them.",
	},
	Broken: Version{Name: "check, then lock", Shows: []string{"enterPlain"}},
	Fixes: []Version{
		{Name: "compare-and-swap", Shows: []string{"enterCAS"}, About: "One instruction that looks and writes."},
		{Name: "mutex", Shows: []string{"enterMutex"}, About: "The same with what is still missing: who waits sleeps, and who dies is noticed."},
	},
	Op: "lock and unlock",
	Schedule: Schedule{
		Columns: []string{"A", "B", "word"},
		Rows: [][]string{
			{"load  gets 0: free", "", "0"},
			{"", "load  gets 0: free", "0"},
			{"store 1", "", "1"},
			{"is inside", "store 1", "1"},
			{"", "is inside, too", "1"},
		},
	},
	Why: `Between the look and the store the answer can become wrong. The same mistake has many faces: "if the file does not exist,
create it", "if nobody has the number, take it". The look and the taking must be one step: a compare-and-swap, O_EXCL, a lock
around both.`,
	Use: `mutex.Mutex. A word with compare-and-swap excludes, too, but who waits for it burns its CPU, and if its owner is killed it
stays 1 for ever: see dead-owner.`,
	roles: roles{"enter": enter},
	try:   tryCheckThenLock,
}

func enterPlain(s *gate, me int) {
	for i := range entries {
		for turn := 0; s.Word.Load() != 0; turn++ {
			relax(turn)
		}
		window(i) // on one CPU: sched_yield, every 64th time
		s.Word.Store(1)
		s.inside(me, i)
		s.Word.Store(0)
	}
}

func enterCAS(s *gate, me int) {
	for i := range entries {
		for turn := 0; !s.Word.CompareAndSwap(0, 1); turn++ {
			relax(turn)
		}
		window(i) // on one CPU: sched_yield, every 64th time
		s.inside(me, i)
		s.Word.Store(0)
	}
}

func enterMutex(s *gate, me int) {
	for i := range entries {
		s.Lock.Lock()
		window(i) // on one CPU: sched_yield, every 64th time
		s.inside(me, i)
		s.Lock.Unlock()
	}
}

// inside is what each does behind the door: it looks for the other. Of two that are
// in at once, the one who came second sees the first.
func (s *gate) inside(me, i int) {
	mine := s.PIDs[me].Load()
	s.Inside[me].Store(mine)
	window(i + 32)
	if s.Inside[1-me].Load() != 0 {
		s.Both.Add(1)
	}
	s.Inside[me].Store(0)
}

func enter(a *Actor) error {
	s := see[gate](a)
	s.PIDs[a.me].Store(uint32(a.pid()))
	f := map[string]func(*gate, int){"check, then lock": enterPlain, "compare-and-swap": enterCAS, "mutex": enterMutex}[a.version]
	a.timed(entries, func() { f(s, a.me) })
	return nil
}

func tryCheckThenLock(st *Stage) (*Result, error) {
	if err := st.cast("enter", "enter"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r, s := st.result(), at[gate](st)
	both := s.Both.Load()
	r.fact("entries", 2*entries)
	r.share("both inside", both, 2*entries)
	if both > 0 {
		r.fact("the owners", fmt.Sprintf("pid %d and pid %d, at once", s.PIDs[0].Load(), s.PIDs[1].Load()))
	}
	return r, nil
}
