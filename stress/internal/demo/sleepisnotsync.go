package demo

import (
	"context"
	"sync/atomic"
	"time"

	"interlock/semaphore"
)

// shelf holds one value.
type shelf struct {
	Value   atomic.Uint64 // 0: none yet
	Full    semaphore.Semaphore
	Free    semaphore.Semaphore
	Early   int64
	Twice   int64
	Distant int64 // missed
}

const values = 150

var sleepIsNotSync = &Demo{
	Name:  "sleep-is-not-sync",
	Title: "values missed, values twice, and one that is not there yet",
	Story: `A writes the values 1 to 150, one every millisecond. B reads one every millisecond. So the tutorials do it, with sleep(1). Here
the sleep is the mistake itself.`,
	Quiz: Quiz{
		Question: "Does B read each value once?",
		Choices:  []string{"yes: both sleep as long", "nearly: now and then one is missed or seen twice", "it misses all of them"},
		Right:    1,
		Because:  "A sleep lasts at least as long as asked for. Nobody promises when it ends.",
	},
	Broken: Version{Name: "sleep", Shows: []string{"writeAsleep", "readAsleep"}},
	Fixes: []Version{{Name: "semaphores", Shows: []string{"writeTold", "readTold"},
		About: "Wait for what must have happened: that there is a value, and that it was read."}},
	Op: "value",
	Schedule: Schedule{
		Columns: []string{"A", "B", "value"},
		Rows: [][]string{
			{"(starts)", "reads 0: too early", "0"},
			{"writes 1", "", "1"},
			{"", "reads 1", "1"},
			{"sleeps a little longer", "reads 1 again", "1"},
			{"writes 2, then 3", "", "3"},
			{"", "reads 3: 2 is missed", "3"},
		},
	},
	Why: `To sleep is to guess how long the other takes. On a busy machine, in a debugger, or on the day on which it matters, it takes
longer. A longer sleep makes the bug rarer and the program slower. A loop that looks ("while not ready, sleep") sees that something is
there, but not what it has missed.`,
	Use: `semaphore.Semaphore to hand over one thing after the other; condvar.Cond for any condition; seqlock.Seqlock if only the latest
value counts, and missing some is right.`,
	roles: roles{"write": writeShelf, "read": readShelf},
	try:   trySleepIsNotSync,
}

func writeAsleep(s *shelf, v uint64) {
	time.Sleep(time.Millisecond)
	s.Value.Store(v)
}

func readAsleep(s *shelf) uint64 {
	v := s.Value.Load()
	time.Sleep(time.Millisecond)
	return v
}

func writeTold(s *shelf, v uint64) {
	_ = s.Free.Acquire(context.Background())
	s.Value.Store(v)
	_ = s.Full.Release()
}

func readTold(s *shelf) uint64 {
	_ = s.Full.Acquire(context.Background())
	v := s.Value.Load()
	_ = s.Free.Release()
	return v
}

func writeShelf(a *Actor) error {
	s := see[shelf](a)
	f := map[string]func(*shelf, uint64){"sleep": writeAsleep, "semaphores": writeTold}[a.version]
	a.timed(values, func() {
		for v := uint64(1); v <= values; v++ {
			f(s, v)
		}
	})
	return nil
}

func readShelf(a *Actor) error {
	s := see[shelf](a)
	f := map[string]func(*shelf) uint64{"sleep": readAsleep, "semaphores": readTold}[a.version]
	a.begin()
	last := uint64(0)
	for range values {
		v := f(s)
		switch {
		case v == 0:
			s.Early++
		case v == last:
			s.Twice++
		default:
			s.Distant += int64(v - last - 1)
		}
		last = v
	}
	s.Distant += int64(values - last)
	return nil
}

func trySleepIsNotSync(st *Stage) (*Result, error) {
	at[shelf](st).Free.Init(1)
	if err := st.cast("write", "read"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r, s := st.result(), at[shelf](st)
	r.fact("values", values)
	r.fact("read too early", s.Early)
	r.fact("read twice", s.Twice)
	r.fact("missed", s.Distant)
	r.Wrong = s.Early + s.Twice + s.Distant
	return r, nil
}
