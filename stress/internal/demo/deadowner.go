package demo

import (
	"fmt"
	"sync/atomic"
	"time"

	"interlock/futex"
	"interlock/mutex"
)

// vault holds two accounts with 1,000 in all, behind a lock of one's own making or a
// mutex.
type vault struct {
	Word  atomic.Uint32
	_     uint32
	Lock  mutex.Mutex
	Left  int64
	Right int64
	Free  int64 // when the heir got the lock: CLOCK_MONOTONIC
	Dead  int64 // whom the repair was told of
}

const (
	wealth    = 1000
	lockPairs = 200_000
	killings  = 20
)

// How far the holder is.
const (
	insideHalf = 1 + iota // it has the lock, and has changed one account of two
	released              // it has made the lock free, and not woken the waiter
)

var deadOwner = &Demo{
	Name:  "dead-owner",
	Title: "the holder of a lock is killed",
	Story: `A process takes a lock, to move 100 from one account to another. It has taken the money from the one, and not yet given
it to the other, when it is killed with kill -9. Then another process wants the lock.`,
	Quiz: Quiz{
		Question: "What does the kernel do with the lock of a process that is killed?",
		Choices:  []string{"it unlocks it", "nothing: it is a word in memory", "it kills the waiters, too"},
		Right:    1,
		Because:  "The kernel closes files and gives back memory. Of a word in shared memory it knows nothing, unless it has been told.",
	},
	Broken: Version{Name: deadOwnerPlain, Shows: []string{"lockPlain", "unlockPlain"}, Parts: []string{"hold"}},
	Fixes: []Version{{Name: "mutex with repair", Shows: []string{"lockRepair", "unlockRepair"},
		About: "mutex.Mutex, and what to do about a value that is half written. (Who has no repair gets an error, and never a torn value.)"}},
	Op: "lock and unlock",
	Schedule: Schedule{
		Columns: []string{"A", "B", "lock", "left+right"},
		Rows: [][]string{
			{"locks", "", "A's", "1000"},
			{"left -= 100", "", "A's", "900"},
			{"is killed", "", "A's", "900"},
			{"", "sleeps until A unlocks", "A's", "900"},
			{"", "for ever", "A's", "900"},
		},
	},
	Why: `A lock in shared memory outlives its holder. Two things are wrong then: the word says "taken" with nobody to change it, and
what it guards may be half changed. The first a library can find out, with the kernel's help. The second only you can put right: a
lock that is simply opened again hands a torn value to the next.

The window between the release of a lock and the wake-up is the hard one: the word says "free", so nobody finds anything wrong with
it, and the waiter sleeps. Our mutex is made for it; stress selftest shows that its tests notice if it is not.

(That the mutex is the faster of the two here is no art: this plain lock calls the kernel at each unlock, as it does not know whether
somebody sleeps.)`,
	Use: `mutex.Mutex with OnOwnerDeath; LockContext if you want ErrOwnerDead as a value; stress inspect, to see who died holding what.
flock(2) and pipes are given back by the kernel, too, at the price of a call each time: see stress bench.`,
	roles: roles{"hold": hold, "inherit": inherit, "release": releaseOnly, "churn": churn},
	try:   tryDeadOwner,
}

func lockPlain(s *vault) {
	for !s.Word.CompareAndSwap(0, 1) {
		_ = futex.Wait(&s.Word, 1)
	}
}

func unlockPlain(s *vault) {
	s.Word.Store(0)
	_, _ = futex.Wake(&s.Word, 1)
}

func lockRepair(s *vault) {
	s.Lock.OnOwnerDeath(func(pid int) error {
		s.Right = wealth - s.Left // what was taken was meant for it
		s.Dead = int64(pid)
		return nil
	})
	s.Lock.Lock()
}

func unlockRepair(s *vault) { s.Lock.Unlock() }

// plain says which of the two locks this version has.
func (a *Actor) plain() bool { return a.version == deadOwnerPlain }

const deadOwnerPlain = "plain futex lock"

// pairs measures what a lock costs that nobody else wants.
func (a *Actor) pairs(s *vault) {
	start := time.Now()
	for range lockPairs {
		if a.plain() {
			lockPlain(s)
			unlockPlain(s)
		} else {
			s.Lock.Lock()
			s.Lock.Unlock()
		}
	}
	a.head.Elapsed[a.me].Store(int64(time.Since(start)))
	a.head.Ops[a.me].Store(lockPairs)
}

func hold(a *Actor) error {
	s := see[vault](a)
	a.pairs(s)
	if a.plain() {
		lockPlain(s)
	} else {
		lockRepair(s)
	}
	s.Left -= 100
	a.reach(insideHalf)
	a.pause() // and is killed here
	s.Right += 100
	return nil
}

func inherit(a *Actor) error {
	s := see[vault](a)
	if a.plain() {
		lockPlain(s)
		unlockPlain(s)
		return nil
	}
	lockRepair(s)
	s.Free = monotonic()
	unlockRepair(s)
	return nil
}

// releaseOnly is unlockPlain up to the middle.
func releaseOnly(a *Actor) error {
	s := see[vault](a)
	lockPlain(s)
	a.reach(insideHalf)
	for a.head.Stage.Load() == insideHalf {
		yield()
	}
	s.Word.Store(0)
	a.reach(released + 1)
	a.pause() // and is killed here
	return nil
}

// churn does nothing but lock and unlock, until it is killed.
func churn(a *Actor) error {
	s := see[vault](a)
	lockRepair(s)
	unlockRepair(s)
	for {
		s.Lock.Lock()
		a.head.Ops[a.me].Add(1)
		s.Lock.Unlock()
	}
}

func tryDeadOwner(st *Stage) (*Result, error) {
	s := at[vault](st)
	s.Left, s.Right = wealth/2, wealth/2
	if err := st.cast("hold"); err != nil {
		return nil, err
	}
	if err := st.until("it is inside", func() bool { return st.head.Stage.Load() == insideHalf }); err != nil {
		return nil, err
	}
	killed := monotonic()
	st.procs[0].kill()
	if err := st.cast("inherit"); err != nil {
		return nil, err
	}
	if st.version == deadOwnerPlain {
		return tryPlainOwner(st, s)
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r := st.result()
	if s.Left+s.Right != wealth || int(s.Dead) != st.procs[0].pid() {
		r.Wrong++
	}
	r.fact("B got the lock", fmt.Sprintf("%.1f ms after the kill, its own start included", float64(s.Free-killed)/1e6))
	r.fact("the repair was told", fmt.Sprintf("pid %d died", s.Dead))
	r.fact("left + right", fmt.Sprintf("%d + %d = %d", s.Left, s.Right, s.Left+s.Right))
	return r, st.killAtWork(r)
}

// killAtWork kills a process that only locks and unlocks, again and again, at whatever
// instruction it is. The one that stays must go on each time.
func (st *Stage) killAtWork(r *Result) error {
	if err := st.cast("churn"); err != nil {
		return err
	}
	const enough = 1000
	survivor := &st.head.Ops[len(st.procs)-1]
	for range killings {
		if err := st.cast("churn"); err != nil {
			return err
		}
		last := len(st.procs) - 1
		if err := st.until("it locks", func() bool { return st.head.Ops[last].Load() > enough }); err != nil {
			return err
		}
		st.procs[last].kill()
		before := survivor.Load()
		if err := st.until("the survivor locks", func() bool { return survivor.Load() > before+enough }); err != nil {
			return err
		}
	}
	r.fact("then killed", fmt.Sprintf("%d more, locking and unlocking: the other went on", killings))
	return nil
}

// tryPlainOwner looks at what is left: a waiter that sleeps, and half a value. Then
// the second death, in the middle of unlocking.
func tryPlainOwner(st *Stage, s *vault) (*Result, error) {
	heir := st.procs[1]
	if err := st.until("the heir sleeps", heir.sleepsOn); err != nil {
		return nil, err
	}
	r := st.result()
	r.Wrong = 1
	r.fact("the lock", fmt.Sprintf("taken (%d), by pid %d, which is dead", s.Word.Load(), st.procs[0].pid()))
	r.fact("B, who wants it", "sleeps, and nobody is left to wake it")
	r.fact("left + right", fmt.Sprintf("%d + %d = %d, not %d", s.Left, s.Right, s.Left+s.Right, wealth))
	heir.kill()
	s.Word.Store(0)
	st.head.Stage.Store(0)
	if err := st.cast("release"); err != nil {
		return nil, err
	}
	c := st.procs[len(st.procs)-1]
	if err := st.until("it has the lock", func() bool { return st.head.Stage.Load() == insideHalf }); err != nil {
		return nil, err
	}
	if err := st.cast("inherit"); err != nil {
		return nil, err
	}
	waiter := st.procs[len(st.procs)-1]
	if err := st.until("the waiter sleeps", waiter.sleepsOn); err != nil {
		return nil, err
	}
	st.head.Stage.Store(released) // now it goes on
	if err := st.until("it has released", func() bool { return st.head.Stage.Load() == released+1 }); err != nil {
		return nil, err
	}
	c.kill()
	if err := st.until("the waiter sleeps on", waiter.sleepsOn); err != nil {
		return nil, err
	}
	r.fact("a second death", fmt.Sprintf("C, between release and wake-up: the lock is free (%d),", s.Word.Load()))
	r.fact("", "and D, which wants it, sleeps for ever")
	r.PIDs = nil
	for _, p := range st.procs {
		r.PIDs = append(r.PIDs, p.pid())
	}
	return r, nil
}
