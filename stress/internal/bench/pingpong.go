package bench

import (
	"context"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"interlock/condvar"
	"interlock/futex"
	"interlock/internal/spin"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/stress/internal/bench/work"
)

// pingBoard is what two processes share that take turns. Whatever both write has a
// line of its own.
type pingBoard struct {
	Over atomic.Uint32 // the slice is: what comes now is the last message
	_    [60]byte
	Word [2]struct { // for futex: the number of the message to this side; for raw the first
		N atomic.Uint32
		_ [60]byte
	}
	Sem [2]struct { // for sem: a permit is a message to this side
		S semaphore.Semaphore
		V atomic.Uint64 // what the message says
		_ [24]byte
	}
	Mu   mutex.Mutex // for cond
	_    [24]byte
	Cond condvar.Cond
	Turn uint64
	_    [40]byte

	Baton [3]struct { // for baton
		M mutex.Mutex
		_ [24]byte
	}
}

// links are the ways within shared memory, by name; see also carriers.
var links = map[string]func(b *pingBoard, side int) work.Link{
	"raw":   func(b *pingBoard, side int) work.Link { return &rawLink{b: b, side: uint32(side)} },
	"futex": func(b *pingBoard, side int) work.Link { return &futexLink{b: b, side: side} },
	"sem":   func(b *pingBoard, side int) work.Link { return &semLink{b, side} },
	"cond":  func(b *pingBoard, side int) work.Link { return &condLink{b, side} },
	"baton": func(b *pingBoard, side int) work.Link { return newMutexBaton(b, side) },
}

// rawLink is a word that moves from one CPU to the other and back: what the hardware
// can do. One word for both sides and a pause between two looks are the fastest way;
// two words, or no pause, take up to twice as long.
type rawLink struct {
	b    *pingBoard
	side uint32
	seen uint32
}

// The lowest bit says for whom the message is.
func (l *rawLink) Send(n uint64) error {
	l.b.Word[0].N.Store(uint32(n)<<1 | (1 - l.side))
	return nil
}

func (l *rawLink) Recv() (uint64, error) {
	for w := &l.b.Word[0].N; ; spin.Pause(1) {
		if n := w.Load(); n != l.seen && n&1 == l.side {
			l.seen = n
			return uint64(n >> 1), nil
		}
	}
}

// futexLink is for who would rather sleep: a word for each side, always a call to wake,
// and one to wait unless the message is there.
type futexLink struct {
	b    *pingBoard
	side int
	seen uint32
}

func (l *futexLink) Send(n uint64) error {
	w := &l.b.Word[1-l.side].N
	w.Store(uint32(n))
	_, err := futex.Wake(w, 1)
	return err
}

func (l *futexLink) Recv() (uint64, error) {
	for w := &l.b.Word[l.side].N; ; {
		if n := w.Load(); n != l.seen {
			l.seen = n
			return uint64(n), nil
		}
		if err := futex.Wait(w, l.seen); err != nil {
			return 0, err
		}
	}
}

type semLink struct {
	b    *pingBoard
	side int
}

func (l *semLink) Send(n uint64) error {
	s := &l.b.Sem[1-l.side]
	s.V.Store(n)
	return s.S.Release()
}

func (l *semLink) Recv() (uint64, error) {
	s := &l.b.Sem[l.side]
	err := s.S.Acquire(context.Background())
	return s.V.Load(), err
}

// condLink is the textbook's: a mutex, a condition, a loop. Turn counts messages,
// odd ones are for side 1.
type condLink struct {
	b    *pingBoard
	side int
}

func (l *condLink) Send(n uint64) error {
	l.b.Mu.Lock()
	l.b.Turn = 2*n + uint64(1-l.side)
	l.b.Mu.Unlock()
	l.b.Cond.Signal()
	return nil
}

func (l *condLink) Recv() (uint64, error) {
	l.b.Mu.Lock()
	defer l.b.Mu.Unlock()
	for l.b.Turn&1 != uint64(l.side) {
		l.b.Cond.Wait(&l.b.Mu)
	}
	return l.b.Turn / 2, nil
}

// newMutexBaton passes the turn by locks alone.
func newMutexBaton(b *pingBoard, side int) work.Link {
	var locks [3]work.Lock
	for i := range locks {
		locks[i] = mutexLock{&b.Baton[i].M}
	}
	baton, _ := work.NewBaton(side, locks) // these locks have no errors
	return baton
}

type mutexLock struct{ m *mutex.Mutex }

func (l mutexLock) Lock() error   { l.m.Lock(); return nil }
func (l mutexLock) Unlock() error { l.m.Unlock(); return nil }

// servePing is one of two that take turns. args are the side, 0 to begin and 1 to
// answer, the kind of link, how long each thinks before it answers, and what the
// link itself wants to know.
func servePing(c *work.Conn, args []string) error {
	b, _, err := inherit[pingBoard]()
	if err != nil {
		return err
	}
	side, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	think, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	var l work.Link
	if links[args[1]] != nil {
		l = links[args[1]](b, side)
	} else if l, err = newCarrier(args[1], side, args[3:]); err != nil {
		return err
	}
	p := &work.Player{Link: l, Think: think, Over: &b.Over}
	return p.Play(c, side)
}

// pair is two processes that take turns: first who answers, then who begins.
func (r *Rig) pair(kind string, think time.Duration, args []string, files ...[]*os.File) ([]*proc, error) {
	g, err := memory[pingBoard](r, 0)
	if err != nil {
		return nil, err
	}
	var two []*proc
	for _, side := range []int{1, 0} {
		inherited := []*os.File{g.file}
		if side < len(files) {
			inherited = append(inherited, files[side]...)
		}
		all := append([]string{strconv.Itoa(side), kind, think.String()}, args...)
		p, err := r.worker("ping", all, inherited...)
		if err != nil {
			return nil, err
		}
		if err := p.expect("ready"); err != nil {
			return nil, err
		}
		two = append(two, p)
	}
	return two, nil
}

// apart puts two processes on two CPUs.
func apart(two []*proc) []*proc {
	for i, p := range two {
		p.pin(cpus()[i])
	}
	return two
}

func runPingPong(r *Rig) error {
	if err := twoCPUs(); err != nil {
		return err
	}
	kinds := []string{"raw", "sem", "cond", "futex"}
	var gauges []gauge
	for _, kind := range kinds {
		two, err := r.pair(kind, 0, nil)
		if err != nil {
			return err
		}
		gauges = append(gauges, middle("ping", apart(two)...))
	}
	piped, err := r.carried("pipe")
	if err != nil {
		return err
	}
	got, err := r.contest(append(gauges, middle("ping", apart(piped)...))...)
	if err != nil {
		return err
	}
	for i, name := range []string{"", "semaphore", "cond", "futex"} {
		row := &Row{Name: name, Unit: Nanoseconds, Ours: got[i], Against: "a cache line to and fro", Peer: got[0]}
		if name == "semaphore" {
			row.Reach = atMost(2.5)
		}
		if name == "" {
			continue
		}
		if err := r.add(row); err != nil {
			return err
		}
	}
	return r.add(&Row{Name: "semaphore", Unit: Nanoseconds, Ours: got[1], Against: "pipes between the same", Peer: got[4], Reach: faster(20)})
}

func runAsleep(r *Rig) error {
	for _, kind := range []string{"sem", "cond"} {
		if err := r.asleep(kind); err != nil {
			return err
		}
	}
	return nil
}

// long is how long a side thinks whose partner must be asleep by then: far more than
// anybody spins.
const long = 100 * time.Microsecond

// asleep compares where there is nothing to gain by spinning: both on one CPU, and
// both on their own but each waiting for longer than it spins.
func (r *Rig) asleep(kind string) error {
	reach := map[string]Reach{"sem": atMost(1.2)}[kind]
	name := map[string]string{"sem": "semaphore", "cond": "cond"}[kind]
	var together, distant [2]gauge
	for i, k := range []string{kind, "futex"} {
		two, err := r.onOneCPU(func() ([]*proc, error) { return r.pair(k, 0, nil) })
		if err != nil {
			return err
		}
		together[i] = middle("ping", two...)
		if len(cpus()) < 2 {
			continue
		}
		if two, err = r.pair(k, long, nil); err != nil {
			return err
		}
		distant[i] = less(2*long, middle("ping", apart(two)...))
	}
	err := r.compare(&Row{Name: name + ", on one CPU", Unit: Nanoseconds, Against: againstFutex, Reach: reach}, together[0], together[1])
	if err != nil || distant[0] == nil {
		return err
	}
	row := &Row{Name: name + ", waking a CPU", Unit: Nanoseconds, Against: againstFutex, Reach: reach}
	return r.compare(row, distant[0], distant[1])
}

const againstFutex = "bare futex calls"

// less is a gauge without what is known to be no part of it.
func less(d time.Duration, g gauge) gauge {
	return func(slice time.Duration) (float64, error) {
		x, err := g(slice)
		return max(1, x-float64(d)), err
	}
}
