package demo

import "sync/atomic"

// pair is two words, one for each process, in lines of their own.
type pair [2]struct {
	V uint64
	_ [120]byte
}

// atomicPair is the same for atomics.
type atomicPair [2]struct {
	V atomic.Uint64
	_ [120]byte
}

// duel is what two processes share that trust in the order of their stores.
type duel struct {
	Flag, X, Read pair
	Late          pair
	Turn          uint64
	_             [120]byte
	AFlag, AX     atomicPair
	ATurn         atomic.Uint64
	_             [120]byte
	Round         atomicPair
	Inside        atomicPair
	Both          atomic.Int64
	Zeros         int64
}

const (
	duelRounds = 10_000
	wantsIn    = 1
)

var impossible = &Demo{
	Name:    "impossible",
	Title:   "a proven lock that lets both in",
	TwoCPUs: true,
	Story: `Peterson's lock (1981) is proven: say that you want in, let the other go first, wait until it does not want in or it is your
turn. It needs no special instruction, only loads and stores. Two processes use it as it stands in the textbook; in each round both come at
the same time.

Then the heart of it by itself. A: x = 1, read y. B: y = 1, read x. Whatever the order, at least one must read 1.`,
	Quiz: Quiz{
		Question: "Can both read 0?",
		Choices:  []string{"no: one of the two stores is first", "yes, on one CPU", "yes, on two CPUs"},
		Right:    2,
		Because:  "Each CPU keeps its stores for itself for a while, and goes on with its loads.",
	},
	Broken: Version{Name: "plain stores", Shows: []string{"enterPeterson", "leavePeterson"}, Parts: []string{"litmusPlain"}},
	Fixes: []Version{{Name: "atomics", Shows: []string{"enterAtomic", "leaveAtomic"},
		About: "The same with atomics: in Go an atomic store is done, for everybody, before the next atomic load begins."}},
	Op: "entry",
	Schedule: Schedule{
		Columns: []string{"CPU of A", "CPU of B", "memory x y"},
		Rows: [][]string{
			{"x = 1, into its buffer", "", "0 0"},
			{"", "y = 1, into its buffer", "0 0"},
			{"reads y: 0", "", "0 0"},
			{"", "reads x: 0", "0 0"},
			{"buffer to memory", "buffer to memory", "1 1"},
		},
	},
	Why: `A store goes into a buffer of its CPU first, and a load that follows may be done before the store has left it: amd64 allows
just this one disorder, arm64 more. A CPU sees its own stores in order, which is why nothing goes wrong on one CPU, and why no stepping
through it with a debugger will ever show it. The proof is right; what it assumes of memory no machine offers unless asked to.`,
	Use: `mutex.Mutex. If you must order single words: the typed atomics of sync/atomic, which in Go are sequentially consistent, also
between processes. docs/memory-order.md has what each primitive of ours orders.`,
	roles: roles{"enter": enterDuel, "litmus": litmus},
	try:   tryImpossible,
}

func enterPeterson(s *duel, me, other int) {
	store(&s.Flag[me].V, wantsIn)
	store(&s.Turn, uint64(other))
	for turn := 0; load(&s.Flag[other].V) == wantsIn; turn++ {
		if load(&s.Turn) == uint64(me) {
			break
		}
		relax(turn)
	}
}

func leavePeterson(s *duel, me int) {
	store(&s.Flag[me].V, 0)
}

func enterAtomic(s *duel, me, other int) {
	s.AFlag[me].V.Store(wantsIn)
	s.ATurn.Store(uint64(other))
	for turn := 0; s.AFlag[other].V.Load() == wantsIn; turn++ {
		if s.ATurn.Load() == uint64(me) {
			break
		}
		relax(turn)
	}
}

func leaveAtomic(s *duel, me int) {
	s.AFlag[me].V.Store(0)
}

func litmusPlain(s *duel, me, other int) uint64 {
	store(&s.X[me].V, 1)
	return load(&s.X[other].V)
}

func litmusAtomic(s *duel, me, other int) uint64 {
	s.AX[me].V.Store(1)
	return s.AX[other].V.Load()
}

func enterDuel(a *Actor) error {
	s, me, other := see[duel](a), a.me, 1-a.me
	in, out := enterPeterson, leavePeterson
	if a.version == "atomics" {
		in, out = enterAtomic, leaveAtomic
	}
	if err := pin(me); err != nil {
		return err
	}
	a.timed(duelRounds, func() {
		for i := range uint64(duelRounds) {
			s.meet(me, i+1) // both come to the lock at the same time
			in(s, me, other)
			s.Inside[me].V.Store(1)
			for range 200 { // what one takes a lock for
				load(&s.Late[me].V)
			}
			if s.Inside[other].V.Load() != 0 { // of two that are in, the second sees the first
				s.Both.Add(1)
			}
			s.Inside[me].V.Store(0)
			out(s, me)
		}
	})
	return nil
}

// meet waits until the other has come as far, in the n-th round. Who comes last is
// off first: so one of them is held up a little, in each round by one load more, and the other
// always the same: in some rounds both are off at the same instant.
func (s *duel) meet(me int, n uint64) {

	s.Round[me].V.Store(n)
	for turn := 0; s.Round[1-me].V.Load() < n; turn++ {
		relax(turn)
	}
	const most = 257 // a prime: whatever else repeats, all meet all
	for range []uint64{n % most, most / 2}[me] {
		load(&s.Late[me].V)
	}
}

func litmus(a *Actor) error {
	s := see[duel](a)
	me := a.me % 2
	f := litmusPlain
	if a.version == "atomics" {
		f = litmusAtomic
	}
	if err := pin(me); err != nil {
		return err
	}
	a.begin()
	for i := range uint64(duelRounds) {
		store(&s.X[me].V, 0)
		s.AX[me].V.Store(0)
		s.meet(me, 4*i+1)
		load(&s.X[1-me].V) // now each CPU has both words in its cache
		s.AX[1-me].V.Load()
		s.meet(me, 4*i+2)
		got := f(s, me, 1-me)
		store(&s.Read[me].V, got)
		s.meet(me, 4*i+3)
		if me == 0 && load(&s.Read[0].V) == 0 && load(&s.Read[1].V) == 0 {
			s.Zeros++
		}
		s.meet(me, 4*i+4)
	}
	return nil
}

func tryImpossible(st *Stage) (*Result, error) {
	if err := st.cast("enter", "enter"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r, s := st.result(), at[duel](st)
	s.Round[0].V.Store(0)
	s.Round[1].V.Store(0)
	if err := st.cast("litmus", "litmus"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r.PIDs = st.result().PIDs
	r.share("both read 0", s.Zeros, duelRounds)
	zeros := r.Wrong
	r.share("both in the lock", s.Both.Load(), duelRounds)
	if st.version == "atomics" {
		r.Wrong += zeros
	}
	return r, nil
}
