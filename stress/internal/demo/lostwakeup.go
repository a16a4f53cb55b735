package demo

import (
	"sync/atomic"

	"interlock/condvar"
	"interlock/futex"
	"interlock/mutex"
)

// letterbox holds one letter at a time. Bell is a word to sleep on.
type letterbox struct {
	Letter atomic.Uint32 // 0: none
	Bell   atomic.Uint32 // always 0
	Taken  atomic.Uint32
	_      uint32
	Lock   mutex.Mutex
	Cond   condvar.Cond
}

const letters = 20_000

var lostWakeup = &Demo{
	Name:  "lost-wakeup",
	Title: "asleep for ever, with a letter in the box",
	Story: `A brings letters, B takes them out. When the box is empty, B goes to sleep; A puts a letter in and rings the bell, which
wakes whoever sleeps. A waits for each letter to be taken before it brings the next.`,
	Quiz: Quiz{
		Question: "A rings after each letter. Can B sleep on with a letter in the box?",
		Choices:  []string{"no: each letter is rung for", "yes, if the bell rings before B sleeps", "yes, if the kernel loses the wake-up"},
		Right:    1,
		Because:  "A bell wakes those who sleep. It is not remembered.",
	},
	Broken: Version{Name: "bell", Shows: []string{"takeBell", "bringBell"}},
	Fixes: []Version{
		{Name: "futex compare", Shows: []string{"takeFutex", "bringFutex"},
			About: "Sleep on the word that says it: the kernel looks at it once more before B sleeps, and does not let it if it is no longer 0."},
		{Name: "cond", Shows: []string{"takeCond", "bringCond"},
			About: "The same without a futex in sight: a condition variable, with the condition looked at under the mutex."},
	},
	Op: "letter",
	Schedule: Schedule{
		Columns: []string{"A brings", "B takes", "box"},
		Rows: [][]string{
			{"", "looks: no letter", "empty"},
			{"puts a letter in", "", "full"},
			{"rings: nobody sleeps", "", "full"},
			{"", "goes to sleep", "full"},
			{"waits for B", "sleeps for ever", "full"},
		},
	},
	Why: `Between "the box is empty" and "I sleep" there is time for a letter and its bell. Who goes to sleep must say which state of
things he wants to sleep through, and who puts him to sleep must compare it: that is the second argument of futex.Wait, and it
is why Cond.Wait is told the mutex: to unlock it and to sleep are one step. A timeout hides the bug: it makes it slow.`,
	Use: `condvar.Cond with mutex.Mutex and a loop around Wait; semaphore.Semaphore, which remembers what was released; futex.Wait
with the value that was looked at. All of them wake across processes.`,
	roles: roles{"bring": bring, "take": take},
	try:   tryLostWakeup,
}

func takeBell(s *letterbox) {
	for i := range letters {
		for s.Letter.Load() == 0 {
			window(i) // on one CPU: sched_yield, every 64th time
			_ = futex.Wait(&s.Bell, 0)
		}
		s.empty()
	}
}

func bringBell(s *letterbox) {
	for i := range letters {
		s.Letter.Store(1)
		_, _ = futex.Wake(&s.Bell, 1)
		s.untilTaken(i)
	}
}

func takeFutex(s *letterbox) {
	for i := range letters {
		for s.Letter.Load() == 0 {
			window(i) // on one CPU: sched_yield, every 64th time
			_ = futex.Wait(&s.Letter, 0)
		}
		s.empty()
	}
}

func bringFutex(s *letterbox) {
	for i := range letters {
		s.Letter.Store(1)
		_, _ = futex.Wake(&s.Letter, 1)
		s.untilTaken(i)
	}
}

func takeCond(s *letterbox) {
	for i := range letters {
		s.Lock.Lock()
		for s.Letter.Load() == 0 {
			window(i) // on one CPU: sched_yield, every 64th time
			s.Cond.Wait(&s.Lock)
		}
		s.Lock.Unlock()
		s.empty()
	}
}

func bringCond(s *letterbox) {
	for i := range letters {
		s.Lock.Lock()
		s.Letter.Store(1)
		s.Lock.Unlock()
		s.Cond.Signal()
		s.untilTaken(i)
	}
}

// empty takes the letter out, and tells A.
func (s *letterbox) empty() {
	s.Letter.Store(0)
	s.Taken.Add(1)
	_, _ = futex.Wake(&s.Taken, 1)
}

// untilTaken waits until letter i has been taken: as it should be done.
func (s *letterbox) untilTaken(i int) {
	for n := s.Taken.Load(); n == uint32(i); n = s.Taken.Load() {
		_ = futex.Wait(&s.Taken, n)
	}
}

func bring(a *Actor) error {
	s := see[letterbox](a)
	f := map[string]func(*letterbox){"bell": bringBell, "futex compare": bringFutex, "cond": bringCond}[a.version]
	a.timed(letters, func() { f(s) })
	return nil
}

func take(a *Actor) error {
	s := see[letterbox](a)
	f := map[string]func(*letterbox){"bell": takeBell, "futex compare": takeFutex, "cond": takeCond}[a.version]
	a.begin()
	f(s)
	return nil
}

func tryLostWakeup(st *Stage) (*Result, error) {
	if err := st.cast("bring", "take"); err != nil {
		return nil, err
	}
	s := at[letterbox](st)
	bringer, taker := st.procs[0], st.procs[1]
	// A sleeps until B takes the letter, B until A brings one, and the letter is there:
	// nobody is left to wake either. (B is looked at last: A has rung by then.)
	stuck := func() bool {
		return s.Letter.Load() != 0 && bringer.asleep() && taker.asleep()
	}
	slept, since := 0, uint32(0)
	err := st.until("both have ended, or sleep", func() bool {
		if n := s.Taken.Load(); !stuck() || n != since {
			slept, since = 0, n
		} else {
			slept++
		}
		return slept == 3 || bringer.gone() && taker.gone()
	})
	if err != nil {
		return nil, err
	}
	r := st.result()
	r.fact("letters to bring", letters)
	r.fact("letters taken", int64(s.Taken.Load()))
	if slept == 3 {
		r.Wrong = 1
		r.fact("in the box", int64(s.Letter.Load()))
		r.Notes = append(r.Notes, "A sleeps until B has taken the letter, and B until the bell rings: for ever. (/proc/PID/task/TID/syscall says so of both.)")
	}
	return r, nil
}
