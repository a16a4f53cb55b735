package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"interlock/shm"
	"interlock/stress/internal/leftover"
)

// meeting is where the two wait for each other, round by round.
type meeting struct {
	Round  [2]atomic.Uint64
	Zeroed atomic.Int64
	Empty  atomic.Int64
	Before atomic.Int64 // Empty, when the round began
}

// ticket is what lies in the object that the two open.
type ticket struct {
	Count atomic.Uint64
}

const (
	openings   = 200
	ticketSize = 4096
)

var initRace = &Demo{
	Name:  "init-race",
	Title: "an object that is being made when the other opens it",
	Story: `Two programs share an object by its name. Whoever starts first makes it: open, set the size, map, and set the counter in it to
zero. Both add 1. They start at the same time, with a new name in each round; in every second round B only opens what A makes.`,
	Quiz: Quiz{
		Question: "What is the counter when both have added?",
		Choices:  []string{"2", "1 or 2", "2, unless one of them crashes"},
		Right:    1,
		Because:  "Who comes second sets a counter to zero that the first has used. (And now and then it maps nothing at all.)",
	},
	Broken: Version{Name: "open, size, init", Shows: []string{"openPlain", "openOnly"}},
	Fixes: []Version{{Name: "OpenOrCreate", Shows: []string{"openOrCreate", "setTicket", "openReady"},
		About: "One of them makes it, and it gets its name when it is finished; shm.Open waits for an object that has no size."}},
	Op: "round",
	Schedule: Schedule{
		Columns: []string{"A", "B", "counter"},
		Rows: [][]string{
			{"open(O_CREAT)", "", ""},
			{"ftruncate, mmap", "open(O_CREAT): it is there", "0"},
			{"counter = 0", "ftruncate, mmap", "0"},
			{"counter++", "", "1"},
			{"", "counter = 0", "0   A's addition is gone"},
			{"", "counter++", "1"},
		},
	},
	Why: `To make an object takes several calls, and it has its name after the first. Until the last, others see it without its size, then
without its content. O_EXCL tells who is first, and tells the other nothing of when it is ready. The same with sem_init "to be sure" at
every start: it sets live waiters and permits to zero. And who sleeps a second before it opens has only made the bug rare.`,
	Use: `shm.OpenOrCreate, or shm.Share for a struct: init runs in exactly one process, and if that dies, in the next, on memory that is
zero again. Our primitives need none: zero bytes are ready.`,
	roles: roles{"open": openRounds},
	try:   tryInitRace,
}

func openPlain(name string, i int) (*ticket, error) {
	fd, err := unix.Open("/dev/shm/"+name, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return nil, err
	}
	window(64) // on one CPU: sched_yield
	_ = unix.Ftruncate(fd, ticketSize)
	t, err := mapAll(fd)
	if err == nil {
		window(64) // on one CPU: sched_yield
		t.Count.Store(0)
	}
	return t, err
}

func openOnly(name string) (*ticket, error) {
	for turn := 0; ; turn++ {
		fd, err := unix.Open("/dev/shm/"+name, unix.O_RDWR, 0)
		if err == nil {
			return mapAll(fd)
		}
		relax(turn)
	}
}

func openOrCreate(name string, i int) (*ticket, error) {
	ctx := context.Background()
	seg, err := shm.OpenOrCreate(ctx, name, ticketSize, setTicket)
	if err != nil {
		return nil, err
	}
	return shm.At[ticket](seg.Bytes(), 0)
}

func setTicket(seg *shm.Segment) error {
	t, err := shm.At[ticket](seg.Bytes(), 0)
	if err == nil {
		t.Count.Store(0)
	}
	return err
}

func openReady(name string) (*ticket, error) {
	for turn := 0; ; turn++ {
		seg, err := shm.Open(name)
		if err == nil {
			return shm.At[ticket](seg.Bytes(), 0)
		}
		if !errors.Is(err, shm.ErrNotExist) {
			return nil, err
		}
		relax(turn)
	}
}

// mapAll maps all of an object, however large it is.
func mapAll(fd int) (*ticket, error) {
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err // EINVAL: of a length of 0
	}
	return shm.At[ticket](mem, 0)
}

// meet waits until both are in round n.
func (s *meeting) meet(me int, n uint64) {
	s.Round[me].Store(n)
	for turn := 0; s.Round[1-me].Load() < n; turn++ {
		relax(turn)
	}
}

func openRounds(a *Actor) error {
	s := see[meeting](a)
	parent := os.Getppid()
	start := leftover.StartTime(parent)
	a.begin()
	began := time.Now()
	for i := range openings {
		name := leftover.SegmentName(parent, start, uint64(i))
		s.meet(a.me, uint64(3*i+1))
		t, err := a.open(name, i)
		switch {
		case errors.Is(err, unix.EINVAL):
			s.Empty.Add(1)
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		default:
			t.Count.Add(1)
		}
		s.meet(a.me, uint64(3*i+2))
		if t != nil && a.me == 0 && t.Count.Load() != 2 && s.Empty.Load() == s.Before.Load() {
			s.Zeroed.Add(1)
		}
		if a.me == 0 {
			s.Before.Store(s.Empty.Load())
			_ = shm.Remove(name)
		}
		s.meet(a.me, uint64(3*i+3))
	}
	a.head.Elapsed[a.me].Store(int64(time.Since(began)))
	a.head.Ops[a.me].Store(openings)
	return nil
}

// open is what each does in a round.
func (a *Actor) open(name string, i int) (*ticket, error) {
	only := a.me == 1 && i%2 == 1
	switch {
	case a.version == "OpenOrCreate" && only:
		return openReady(name)
	case a.version == "OpenOrCreate":
		return openOrCreate(name, i)
	case only:
		return openOnly(name)
	}
	return openPlain(name, i)
}

func tryInitRace(st *Stage) (*Result, error) {
	defer func() {
		st.end() // or they would make more
		left, _ := leftover.Segments(os.Getpid(), leftover.StartTime(os.Getpid()))
		_ = leftover.Remove(left)
	}()
	if err := st.cast("open", "open"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r, s := st.result(), at[meeting](st)
	r.fact("rounds", openings)
	r.fact("nothing to map", s.Empty.Load())
	r.fact("counter was not 2", s.Zeroed.Load())
	r.share("went wrong", s.Empty.Load()+s.Zeroed.Load(), openings)
	return r, nil
}
