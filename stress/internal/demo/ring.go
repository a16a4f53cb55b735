package demo

import (
	"context"
	"sync/atomic"

	"interlock/semaphore"
)

const (
	ringSlots = 64
	ringItems = 200_000
)

// message is what lies in a slot: 32 times the same number.
type message [32]uint64

// ringbuffer has a line for each side.
type ringbuffer struct {
	Head  atomic.Uint64 // how many have been put in
	_     [56]byte
	Tail  atomic.Uint64 // how many have been taken out
	_     [56]byte
	Slot  [ringSlots]message
	Full  semaphore.Semaphore
	Free  semaphore.Semaphore
	Old   int64 // taken out, and not what was put in
	Ended int64
	First [2]uint64 // the first of those: expected, got
}

var ring = &Demo{
	Name:  "ring",
	Title: "a queue that gives some things twice and others never",
	Story: `A puts the messages 1, 2, 3 and so on into a ring of 64 slots, and B takes them out. Head counts what was put in, tail what was
taken out; who finds the ring full or empty looks again. Nobody else is there, and each counter has one writer: so no lock.`,
	Quiz: Quiz{
		Question: "Does B get every message once, in order?",
		Choices:  []string{"yes: each counter has one writer", "no: some twice, and others never", "yes, if each has a CPU"},
		Right:    1,
		Because:  "What counts is the order of the two stores: the message, and that it is there.",
	},
	Broken: Version{Name: "count, then store", Shows: []string{"pushEarly"}, Parts: []string{"pop"}},
	Fixes: []Version{
		{Name: "store, then count", Shows: []string{"pushInOrder"}, About: "The slot first; then say so, with an atomic: what came before it is visible to who sees it."},
		{Name: "two semaphores", Shows: []string{"pushWaiting", "popWaiting"}, About: "Who has nothing to do sleeps: permits for what is in, and for what is free."},
	},
	Op: "message",
	Schedule: Schedule{
		Columns: []string{"A puts 65 in", "B takes", "slot 0", "head"},
		Rows: [][]string{
			{"", "(has taken 1 to 64)", "1", "64"},
			{"head = 65", "", "1", "65"},
			{"", "head is ahead: takes slot 0, a 1", "1", "65"},
			{"slot 0 = 65", "", "65", "65"},
			{"", "(the 1 twice, the 65 never)", "65", "65"},
		},
	},
	Why: `A counter that tells the other side "it is there" must be the last thing to be written, and the other side must read it first.
On amd64 stores arrive in the order of the program, so plain stores in the right order happen to work; on arm64 they need not. An atomic
store orders what came before it everywhere, in Go and between processes.`,
	Use: `Two semaphore.Semaphore and any ring, as in examples/ring: simple, with several writers too if they share a mutex.Mutex, and nobody burns a CPU. With
one writer and one reader who never wait long, atomics in the right order, as above.`,
	roles: roles{"push": pushAll, "pop": popAll},
	try:   tryRing,
}

func pushEarly(s *ringbuffer, i int) {
	for turn := 0; s.Head.Load()-s.Tail.Load() == ringSlots; turn++ {
		relax(turn)
	}
	slot := s.Head.Load() % ringSlots
	s.Head.Add(1)
	window(i) // on one CPU: sched_yield, every 64th time
	writeMessage(&s.Slot[slot], i)
}

func pushInOrder(s *ringbuffer, i int) {
	for turn := 0; s.Head.Load()-s.Tail.Load() == ringSlots; turn++ {
		relax(turn)
	}
	slot := s.Head.Load() % ringSlots
	writeMessage(&s.Slot[slot], i)
	window(i) // on one CPU: sched_yield, every 64th time
	s.Head.Add(1)
}

func pushWaiting(s *ringbuffer, i int) {
	_ = s.Free.Acquire(context.Background())
	slot := s.Head.Load() % ringSlots
	writeMessage(&s.Slot[slot], i)
	s.Head.Add(1)
	_ = s.Full.Release()
}

func pop(s *ringbuffer) uint64 {
	for turn := 0; s.Head.Load() == s.Tail.Load(); turn++ {
		relax(turn)
	}
	v := readMessage(&s.Slot[s.Tail.Load()%ringSlots])
	s.Tail.Add(1)
	return v
}

func popWaiting(s *ringbuffer) uint64 {
	_ = s.Full.Acquire(context.Background())
	v := readMessage(&s.Slot[s.Tail.Load()%ringSlots])
	s.Tail.Add(1)
	_ = s.Free.Release()
	return v
}

//go:noinline
func writeMessage(to *message, i int) {
	for at := range to {
		to[at] = uint64(i)
	}
}

// readMessage returns the number in a message: the last of them, as it is written last.
//
//go:noinline
func readMessage(from *message) uint64 {
	return from[len(from)-1]
}

func pushAll(a *Actor) error {
	s := see[ringbuffer](a)
	f := map[string]func(*ringbuffer, int){"count, then store": pushEarly, "store, then count": pushInOrder, "two semaphores": pushWaiting}[a.version]
	a.timed(ringItems, func() {
		for i := 1; i <= ringItems; i++ {
			f(s, i)
		}
	})
	return nil
}

func popAll(a *Actor) error {
	s := see[ringbuffer](a)
	f := pop
	if a.version == "two semaphores" {
		f = popWaiting
	}
	a.begin()
	for want := uint64(1); want <= ringItems; want++ {
		if got := f(s); got != want {
			if s.Old == 0 {
				s.First = [2]uint64{want, got}
			}
			s.Old++
		}
	}
	return nil
}

func tryRing(st *Stage) (*Result, error) {
	s := at[ringbuffer](st)
	s.Free.Init(ringSlots)
	if err := st.cast("push", "pop"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r := st.result()
	r.fact("messages", ringItems)
	r.share("an old one instead", s.Old, ringItems)
	if s.Old > 0 {
		r.fact("the first", "instead of "+grouped(int64(s.First[0]))+", which never came, "+grouped(int64(s.First[1]))+" again")
	}
	return r, nil
}
