package demo

import (
	"fmt"
	"strings"
	"sync/atomic"

	"interlock/mutex"
	"interlock/stress/internal/lab"
)

// tally is what the two processes share.
type tally struct {
	Lock   mutex.Mutex
	_      [88]byte
	N      uint64
	_      [120]byte
	Atomic atomic.Uint64
}

const additions = 1_000_000 // by each process

var lostUpdate = &Demo{
	Name:  "lost-update",
	Title: "two processes count to a million each, and end below two",
	Story: `Two processes share one counter. Each adds 1 to it a million times: load the counter, add, store it back.
When both have ended, the counter should be two million.`,
	Quiz: Quiz{
		Question: "What will the counter be?",
		Choices:  []string{"2,000,000: each process adds its million", "less than 2,000,000", "more than 2,000,000"},
		Right:    1,
		Because:  "An addition can be overwritten, and none is ever made twice.",
	},
	Broken: Version{Name: "plain", Shows: []string{"countPlain"}},
	Fixes: []Version{
		{Name: "mutex", Shows: []string{"countLocked"}, About: "A mutex around the three steps: nobody else is between them."},
		{Name: "atomic add", Shows: []string{"countAtomic"}, About: "For one word the CPU has an instruction that does all three at once."},
	},
	Op: "increment",
	Schedule: Schedule{
		Columns: []string{"A", "B", "counter"},
		Rows: [][]string{
			{"load   gets 0", "", "0"},
			{"", "load   gets 0", "0"},
			{"add    has 1", "", "0"},
			{"store  1", "", "1"},
			{"", "add    has 1", "1"},
			{"", "store  1", "1   two additions, and it is 1"},
		},
	},
	Extra: allSchedules,
	Why: `"n = n + 1" is three steps, and the scheduler, or a second CPU, may put the other process between any two of
them. Then both load the same value, and one addition is overwritten by the other. Of the 20 orders in which two such
triples can be merged only two lose nothing: those in which one process has finished before the other begins.`,
	Use: `mutex.Mutex for whatever is more than one word; for a single counter atomic.Uint64 of Go's sync/atomic, which works in
shared memory as it does anywhere. Both are in the struct that the processes share: see shm.Share.`,
	roles: roles{"count": count},
	try:   tryLostUpdate,
}

func countPlain(s *tally) {
	for i := range additions {
		v := load(&s.N)
		window(i) // on one CPU: sched_yield, every 64th time
		store(&s.N, v+1)
	}
}

func countLocked(s *tally) {
	for i := range additions {
		s.Lock.Lock()
		v := load(&s.N)
		window(i) // on one CPU: sched_yield, every 64th time
		store(&s.N, v+1)
		s.Lock.Unlock()
	}
}

func countAtomic(s *tally) {
	for range additions {
		s.Atomic.Add(1)
	}
}

func count(a *Actor) error {
	s := see[tally](a)
	f := map[string]func(*tally){"plain": countPlain, "mutex": countLocked, "atomic add": countAtomic}[a.version]
	a.timed(additions, func() { f(s) })
	return nil
}

func tryLostUpdate(st *Stage) (*Result, error) {
	if err := st.cast("count", "count"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r, s := st.result(), at[tally](st)
	got := int64(s.N + s.Atomic.Load())
	r.compare(2*additions, got)
	r.share("lost", 2*additions-got, 2*additions)
	return r, nil
}

// allSchedules lists every order of two loads, additions and stores.
func allSchedules() string {
	var all []string
	lost := 0
	for _, s := range lab.Merges("LAS", "las") {
		n := outcome(s)
		mark := "  "
		if n < 2 {
			lost++
			mark = " *"
		}
		all = append(all, fmt.Sprintf("%s = %d%s", s, n, mark))
	}
	var b strings.Builder
	b.WriteString("All orders; L load, A add, S store: capitals are A's, small letters B's\n\n")
	const columns = 5
	rows := (len(all) + columns - 1) / columns
	for i := range rows {
		var cells []string
		for j := i; j < len(all); j += rows {
			cells = append(cells, all[j])
		}
		b.WriteString("    " + strings.TrimRight(strings.Join(cells, "  "), " ") + "\n")
	}
	fmt.Fprintf(&b, "\n%d orders; in %d of them (*) an addition is lost.\n", len(all), lost)
	return b.String()
}

// outcome is what the counter is after an order of steps, large letters being A's.
func outcome(steps string) int {
	return int(lab.Outcome(strings.Map(func(step rune) rune {
		if step < 'a' {
			return 'A'
		}
		return 'B'
	}, steps)))
}
