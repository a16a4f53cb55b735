package scenario

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"interlock/condvar"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/stress/internal/arena"
)

// herdArea is one mutex, one semaphore and one condition for more goroutines
// than a process may have threads. The supervisor's orders bring them there and
// its counters tell when all have come, so that what is measured begins then.
type herdArea struct {
	M    mutexArea
	_    [56]byte
	Sem  semaphore.Semaphore
	_    [32]byte
	Mu   mutex.Mutex // for Cond; nobody is killed while it is in use
	Cond condvar.Cond
	_    [8]byte

	Casts  atomic.Uint64 // broadcasts; changed under Mu
	Gated  atomic.Uint32 // 1: a lane holds M for all to queue up behind it
	Halt   atomic.Uint32 // 1: leave M after the turn in hand
	Opened atomic.Int64  // the stretch that is measured: from when that lane may let go
	Closed atomic.Int64
	Gave   atomic.Int64 // when the first permit was given, or the broadcast made
	Last   atomic.Int64 // when the last goroutine had its permit, or was back
	_      [16]byte
}

// herdSlot is what a worker's crowd says of itself.
type herdSlot struct {
	Came    atomic.Uint64 // goroutines about to wait
	Longest atomic.Int64  // the longest wait of one for M, in the measured stretch
	Cond    atomic.Uint64 // the address of Cond in this worker
	_       [40]byte
}

// Orders to a worker of the herd.
const (
	opGate    = 1 + iota // lock M, have the crowd queue up for it, unlock when it opens
	opContend            // the crowd locks M again and again, until Halt
	opJoin               // so does this worker's part of a crowd of all workers
	opQueue              // each of the crowd takes a permit
	opGive               // give as many
	opListen             // this worker's part of a crowd of all workers waits for a broadcast
)

func herdPlan() *Plan {
	held := []uint32{LabelInside, labelOpened, labelHalf, labelClosed}
	var d *drover
	return &Plan{
		Name:      "herd",
		About:     "very many goroutines wait for one mutex, semaphore, condition: few threads, a fair share for each process",
		Labels:    mutexLabels,
		Duration:  2 * time.Second,
		Shape:     Shape{Procs: 4, Lanes: 1000},
		Least:     Shape{Procs: 2, Lanes: 1},
		Crowd:     true,
		Directed:  true,
		MostKills: 5, // a worker that is replaced has its crowd to call together first
		Traps:     held,
		Held:      held,
		Marks:     []string{"E-M"},
		Area: func(procs, lanes int) int {
			return arena.SizeOf[herdArea]() + procs*arena.SizeOf[herdSlot]()
		},
		Attach: func(w *Worker) (Body, error) {
			h, s := herdOf(w.Arena), herdSlotOf(w.Arena, w.Index)
			h.M.Mu.OnOwnerDeath(func(pid int) error { return h.M.repair(w, pid) })
			s.Cond.Store(arena.Address(&h.Cond))
			f := follow(w)
			obey := func(l *Lane, order uint32) error { return h.obey(l, s, order) }
			return Body{Step: func(l *Lane) error { return f.step(l, obey) }}, nil
		},
		Conduct: func(st Stage) {
			d = newDrover(st)
			for d.drive() && st.Sleep(0) {
			}
		},
		Check: func(a *arena.Arena, f *Findings) { d.check(a, f) },
		Words: func(a *arena.Arena) []Word {
			h := herdOf(a)
			words := append(h.M.words(),
				Word{"semaphore", fmt.Sprintf("value %d nwaiters %d", arena.Word(&h.Sem, 0), arena.Word(&h.Sem, 1))},
				Word{"cond", condWord(&h.Cond)}, Word{"its mutex", lockWord(arena.Word(&h.Mu, 0))})
			for i := range int(a.Procs.Load()) {
				words = append(words, Word{fmt.Sprintf("crowd of worker %d", i), fmt.Sprintf("%d came", herdSlotOf(a, i).Came.Load())})
			}
			return words
		},
		// The supervisor locks, too; see drover.cast.
		Cleanup: func(a *arena.Arena) error { return mutex.Detach(a.Scenario()) },
	}
}

func herdOf(a *arena.Arena) *herdArea { return arena.At[herdArea](a.Scenario(), 0) }

func herdSlotOf(a *arena.Arena, slot int) *herdSlot {
	return arena.At[herdSlot](a.Scenario(), arena.SizeOf[herdArea]()+slot*arena.SizeOf[herdSlot]())
}

// part is a worker's part of a crowd that is as large as one worker's.
func part(a *arena.Arena) int { return max(1, int(a.Crowd.Load()/a.Procs.Load())) }

// obey carries out one order, to its end.
func (h *herdArea) obey(l *Lane, s *herdSlot, order uint32) (err error) {
	n := int(l.W.Arena.Crowd.Load())
	switch order & 0xff {
	case opGate:
		h.gate(l, s, n)
	case opContend:
		crowd(l, n, func(l *Lane) { h.contend(l, s) })
	case opJoin:
		crowd(l, part(l.W.Arena), func(l *Lane) { h.contend(l, s) })
	case opQueue:
		crowd(l, n, func(l *Lane) { h.queue(l, s) })
	case opGive:
		h.Gave.Store(arena.Now())
		for range n {
			if err = h.Sem.Release(); err != nil {
				return err
			}
		}
	case opListen:
		crowd(l, part(l.W.Arena), func(l *Lane) { h.listen(l, s) })
	}
	return nil
}

// crowd has n goroutines do the same, and waits for all. The last to start has the lane,
// and writes its operations down: from then on nobody else may read it.
func crowd(l *Lane, n int, do func(l *Lane)) {
	var all sync.WaitGroup
	for i := range n {
		one := l
		if i < n-1 {
			one = l.mute()
		}
		all.Add(1)
		go func() {
			defer all.Done()
			do(one)
		}()
	}
	all.Wait()
}

// gate keeps the mutex locked until the supervisor has seen that everybody
// queues for it.
func (h *herdArea) gate(l *Lane, s *herdSlot, n int) {
	h.M.Mu.Lock()
	h.Gated.Store(1)
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		for h.Opened.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		h.M.Mu.Unlock()
	}()
	crowd(l, n, func(l *Lane) { h.contend(l, s) })
	<-opened
}

// contend is one of a crowd. It counts its turns in its worker's only lane.
func (h *herdArea) contend(l *Lane, s *herdSlot) {
	s.Came.Add(1)
	for first := true; first || h.Halt.Load() == 0; first = false {
		asked := arena.Now()
		l.waits()
		h.M.Mu.Lock()
		l.holds()
		h.waited(s, asked, arena.Now())
		h.M.change(l, 0)
		l.held()
	}
}

// waited keeps the longest wait that began in the measured stretch, or was under
// way when it began. The lock guards Longest.
func (h *herdArea) waited(s *herdSlot, asked, got int64) {
	opened, closed := h.Opened.Load(), h.Closed.Load()
	if opened == 0 || closed != 0 && asked > closed {
		return
	}
	if wait := got - max(asked, opened); wait > s.Longest.Load() {
		s.Longest.Store(wait)
	}
}

// queue takes a permit and keeps it.
func (h *herdArea) queue(l *Lane, s *herdSlot) {
	s.Came.Add(1)
	l.waits()
	if err := h.Sem.Acquire(context.Background()); err != nil {
		l.Fault("herd: Acquire without a deadline: %v", err)
	}
	l.holds()
	l.done()
	l.Ops.Add(1)
	h.stamp()
}

// listen waits for the next broadcast.
func (h *herdArea) listen(l *Lane, s *herdSlot) {
	h.Mu.Lock()
	s.Came.Add(1)
	l.waits()
	for casts := h.Casts.Load(); h.Casts.Load() == casts; {
		h.Cond.Wait(&h.Mu)
	}
	l.holds()
	l.done()
	h.Mu.Unlock()
	l.Ops.Add(1)
	h.stamp()
}

// stamp moves Last on.
func (h *herdArea) stamp() {
	now := arena.Now()
	for {
		last := h.Last.Load()
		if last >= now || h.Last.CompareAndSwap(last, now) {
			return
		}
	}
}
