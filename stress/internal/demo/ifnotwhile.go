package demo

import (
	"interlock/condvar"
	"interlock/mutex"
)

// storeroom is how many things are in it, and who has seen what.
type storeroom struct {
	Lock    mutex.Mutex
	Cond    condvar.Cond
	Count   int64
	Lowest  int64
	Closed  uint32
	_       uint32
	Taken   [2]int64
	Nothing [2]int64 // woken, and nothing there
}

const things = 30_000

var ifNotWhile = &Demo{
	Name:  "if-not-while",
	Title: "a store that gives out what it has not got",
	Story: `A puts things into a store, one at a time. B and C take them out, one each time. Who finds the store empty waits on a
condition variable; A signals after each thing.`,
	Quiz: Quiz{
		Question: "B was woken because there is a thing. Is it still there when B goes on?",
		Choices:  []string{"yes: the signal was for it", "yes, as B holds the mutex", "not surely"},
		Right:    2,
		Because:  "Between the signal and B's turn at the mutex, C may come in, which was not asleep at all.",
	},
	Broken: Version{Name: "if", Shows: []string{"takeIf", "putSignal"}},
	Fixes: []Version{
		{Name: "for", Shows: []string{"takeFor", "putSignal"}, About: "Look again after each Wait."},
		{Name: "for, Broadcast", Shows: []string{"takeFor", "putBroadcast"}, About: "With the loop, Broadcast instead of Signal is right as well; but it wakes both for one thing."},
	},
	Op: "thing",
	Schedule: Schedule{
		Columns: []string{"A puts", "B takes", "C takes", "count"},
		Rows: [][]string{
			{"", "empty: waits", "", "0"},
			{"puts one in", "", "", "1"},
			{"signals B", "", "", "1"},
			{"", "", "comes, locks: not empty", "1"},
			{"", "", "takes it", "0"},
			{"", "has the mutex, takes", "", "-1"},
		},
	},
	Why: `Wait gives the mutex back and takes it again. What was true at the signal need not be true then: another may have been faster,
and Wait may return for no reason at all. So the condition is looked at in a loop, under the mutex.

Signal wakes one and is enough when any waiter can use what there is, and uses one. Broadcast is for the rest: several kinds of waiters, or
a change that concerns all, such as closing. If in doubt, Broadcast: with the loop it costs time, never correctness.`,
	Use:   `for condition is false { cond.Wait(&mu) }. Or semaphore.Semaphore, which is count and waiting in one.`,
	roles: roles{"put": putThings, "take": takeThings},
	try:   tryIfNotWhile,
}

func takeIf(s *storeroom, me int) {
	s.Lock.Lock()
	if s.empty(me) {
		s.Cond.Wait(&s.Lock)
	}
	s.take(me)
	s.Lock.Unlock()
}

func takeFor(s *storeroom, me int) {
	s.Lock.Lock()
	for s.empty(me) {
		s.Cond.Wait(&s.Lock)
	}
	s.take(me)
	s.Lock.Unlock()
}

func putSignal(s *storeroom) {
	s.Lock.Lock()
	s.Count++
	s.Lock.Unlock()
	s.Cond.Signal()
}

func putBroadcast(s *storeroom) {
	s.Lock.Lock()
	s.Count++
	s.Lock.Unlock()
	s.Cond.Broadcast()
}

// empty is the condition. When the store is closed nobody waits any more.
func (s *storeroom) empty(me int) bool {
	if s.Count == 0 && s.Closed == 0 {
		s.Nothing[me]++
		return true
	}
	return false
}

func (s *storeroom) take(me int) {
	if s.Closed != 0 && s.Count == 0 {
		return
	}
	s.Count--
	s.Taken[me]++
	s.Lowest = min(s.Lowest, s.Count)
}

// over says that there is no more to be had, or that it has gone wrong.
func (s *storeroom) over() bool {
	s.Lock.Lock()
	defer s.Lock.Unlock()
	return s.Lowest < 0 || s.Closed != 0 && s.Count <= 0
}

func (s *storeroom) look() (count int64, failed bool) {
	s.Lock.Lock()
	defer s.Lock.Unlock()
	return s.Count, s.Lowest < 0
}

func putThings(a *Actor) error {
	s := see[storeroom](a)
	put := putSignal
	if a.version == "for, Broadcast" {
		put = putBroadcast
	}
	a.timed(things, func() {
		for i := range things {
			put(s)
			count, failed := s.look()
			for turn := 0; count > 1 && !failed; turn++ { // the store is small
				relax(turn)
				count, failed = s.look()
			}
			if failed {
				break
			}
			window(i)
		}
	})
	s.Lock.Lock()
	s.Closed = 1
	s.Lock.Unlock()
	s.Cond.Broadcast()
	return nil
}

func takeThings(a *Actor) error {
	s, me := see[storeroom](a), a.me-1
	f := map[string]func(*storeroom, int){"if": takeIf, "for": takeFor, "for, Broadcast": takeFor}[a.version]
	a.begin()
	for i := 0; !s.over(); i++ {
		f(s, me)
		window(i)
	}
	return nil
}

func tryIfNotWhile(st *Stage) (*Result, error) {
	if err := st.cast("put", "take", "take"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r, s := st.result(), at[storeroom](st)
	r.fact("lowest count", s.Lowest)
	r.fact("things taken", s.Taken[0]+s.Taken[1])
	r.fact("waits", s.Nothing[0]+s.Nothing[1])
	if s.Lowest < 0 {
		r.Wrong, r.Ns = 1, 0
		r.Notes = append(r.Notes, "All stop when the count is below 0: somebody has taken a thing that was not there.")
	} else if s.Taken[0]+s.Taken[1] != things || s.Count != 0 {
		r.Wrong = 1
	}
	return r, nil
}
