package demo

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"interlock/futex"
	"interlock/stress/internal/demo/wrongfutex"
	"interlock/stress/internal/procfs"
)

// doorbell is a word to sleep on.
type doorbell struct {
	Rung  atomic.Uint32
	_     uint32
	TID   atomic.Uint32 // of the thread that waits
	Woken atomic.Int64  // what the wake returned
}

const idleWakes = 100_000

var privateFutex = &Demo{
	Name:  "private-futex",
	Title: "a wake-up that never leaves its process",
	Story: `B sleeps while a word in shared memory is 0. A makes it 1, and wakes B. Both use the futex call as the Go runtime does for
its own locks, and Rust's standard library, and many examples: with FUTEX_PRIVATE_FLAG.`,
	Quiz: Quiz{
		Question: "How many sleepers does the wake find?",
		Choices:  []string{"one: the word is the same", "none", "it fails with an error"},
		Right:    1,
		Because:  "The flag makes the kernel look for the sleepers of this address in this process.",
	},
	Broken: Version{Name: "private", Shows: []string{"sleepPrivate", "ringPrivate"}},
	Fixes: []Version{{Name: "shared", Shows: []string{"sleepShared", "ringShared"},
		About: "Package futex never sets the flag."}},
	Op: "wake-up that finds nobody",
	Schedule: Schedule{
		Columns: []string{"A", "B", "kernel's queues"},
		Rows: [][]string{
			{"", "wait(word is 0)", "(B, address in B): B"},
			{"word = 1", "", "(B, address in B): B"},
			{"wake", "", "looks in (A, address in A): nobody"},
			{"got 0 woken", "sleeps for ever", "(B, address in B): B"},
		},
	},
	Why: `The kernel keeps sleepers in queues. Without the flag the queue belongs to the page of memory behind the address, and it is
the same for all who map it. With the flag it belongs to the process and the address as a number, which is cheaper to look up; but
another process has another queue, even for the same word.

This is why a sync.Mutex in shared memory does not work, although it is only two words, and seems to: as long as nobody has to wait
it is fine. Who waits sleeps in a queue of its own Go runtime, and Unlock in another process looks in another. The same goes for
sync.Cond, channels and sync.WaitGroup, and in C for a pthread_mutex_t without PTHREAD_PROCESS_SHARED.`,
	Use: `mutex.Mutex, semaphore.Semaphore, condvar.Cond: all made for memory that is shared. futex.Wait and futex.Wake, if you build
your own.`,
	roles: roles{"sleep": sleepOn, "ring": ringDoorbell},
	try:   tryPrivateFutex,
}

func sleepPrivate(s *doorbell) {
	for s.Rung.Load() == 0 {
		wrongfutex.Wait(&s.Rung, 0)
	}
}

func ringPrivate(s *doorbell) int {
	s.Rung.Store(1)
	return wrongfutex.Wake(&s.Rung, 1)
}

func sleepShared(s *doorbell) {
	for s.Rung.Load() == 0 {
		_ = futex.Wait(&s.Rung, 0)
	}
}

func ringShared(s *doorbell) int {
	s.Rung.Store(1)
	woken, _ := futex.Wake(&s.Rung, 1)
	return woken
}

func sleepOn(a *Actor) error {
	s := see[doorbell](a)
	s.TID.Store(uint32(unix.Gettid()))
	map[string]func(*doorbell){"private": sleepPrivate, "shared": sleepShared}[a.version](s)
	return nil
}

func ringDoorbell(a *Actor) error {
	s := see[doorbell](a)
	f := map[string]func(*doorbell) int{"private": ringPrivate, "shared": ringShared}[a.version]
	s.Woken.Store(int64(f(s)))
	start := time.Now()
	for range idleWakes {
		f(s)
	}
	a.head.Elapsed[a.me].Store(int64(time.Since(start)))
	a.head.Ops[a.me].Store(idleWakes)
	a.reach(1)
	return nil
}

func tryPrivateFutex(st *Stage) (*Result, error) {
	s := at[doorbell](st)
	if err := st.cast("sleep"); err != nil {
		return nil, err
	}
	sleeper := st.procs[0]
	asleep := func() bool { return s.inFutex(sleeper) }
	if err := st.until("it sleeps", asleep); err != nil {
		return nil, err
	}
	if err := st.cast("ring"); err != nil {
		return nil, err
	}
	if err := st.until("it has rung, and who was woken is gone", func() bool {
		return st.procs[1].gone() && (s.Woken.Load() == 0 || sleeper.gone())
	}); err != nil {
		return nil, err
	}
	r := st.result()
	r.PIDs[0], r.PIDs[1] = r.PIDs[1], r.PIDs[0] // the table's A rings
	r.fact("sleepers", 1)
	r.fact("woken", s.Woken.Load())
	r.fact("the word", int64(s.Rung.Load()))
	if asleep() && s.Woken.Load() == 0 {
		r.Wrong = 1
		r.Notes = append(r.Notes, "B still sleeps for a word that is no longer 0, and A has ended.")
	}
	return r, nil
}

// inFutex says whether the thread that waits is in its system call, and asleep.
func (s *doorbell) inFutex(p *proc) bool {
	tid := int(s.TID.Load())
	for range 3 {
		if tid == 0 || !procfs.InFutex(p.pid(), tid) {
			return false
		}
	}
	return true
}
