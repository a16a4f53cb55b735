package demo

import (
	"context"
	"sync/atomic"
	"time"

	"interlock/seqlock"
)

// sums is a value of three words that belong together.
type sums struct{ A, B, Sum uint64 }

// board is what the writer and the reader share.
type board struct {
	Plain   sums
	_       [40]byte
	Seq     seqlock.Seqlock[sums]
	Done    atomic.Uint32
	_       [60]byte
	Reads   uint64
	Torn    uint64
	Retries uint64
	A, B    uint64 // of the first that did not fit
	Sum     uint64
	Took    int64
}

const sumWrites = 300_000

var tornRead = &Demo{
	Name:  "torn-read",
	Title: "the reader sees half of one value and half of the next",
	Story: `One process writes three numbers, over and over: a, b and their sum. Another copies the three, and checks that they
fit. The writer never writes three that do not.`,
	Quiz: Quiz{
		Question: "Will the reader ever see a + b that is not the sum?",
		Choices:  []string{"no: what is written always fits", "yes", "only if it reads faster than the writer writes"},
		Right:    1,
		Because:  "Three stores are not one, and neither are three loads.",
	},
	Broken: Version{Name: "plain copy", Shows: []string{"writePlain", "readPlain"}, Parts: []string{"put"}},
	Fixes: []Version{{Name: "seqlock", Shows: []string{"writeSeq", "readSeq"},
		About: "A seqlock: the reader takes no lock; if a write came between, it copies again. (TryLoad is there to count how often; Load alone does it.)"}},
	Op: "read or write",
	Schedule: Schedule{
		Columns: []string{"A writes {3, 6, 9}", "B reads", "memory"},
		Rows: [][]string{
			{"", "", "2 4 6"},
			{"a = 3", "", "3 4 6"},
			{"", "copies all three", "3 4 6"},
			{"b = 6", "", "3 6 6"},
			{"sum = 9", "", "3 6 9"},
			{"", "3 + 4 is not 6", ""},
		},
	},
	Why: `No CPU copies three words at once. The kernel or another CPU puts the reader between two stores of the writer, or the
writer between two loads of the reader. It does not help that each word by itself is whole: what belongs together is more
than a word. (On arm64 the stores may arrive in another order, too.)`,
	Use: `seqlock.Seqlock for what one writes and many read: a reader writes nothing, so it can have the memory read-only, and
costs other readers nothing. seqlock.DoubleBuffer if a reader must never wait for a writer that is stopped; a mutex.Mutex if
readers must also change it.`,
	roles: roles{"write": writeSums, "read": readSums},
	try:   tryTornRead,
}

//go:noinline
func put(to *sums, v sums, i int) {
	to.A = v.A
	to.B = v.B
	window(i) // on one CPU: sched_yield, every 64th time
	to.Sum = v.Sum
}

func writePlain(s *board) {
	for i := range sumWrites {
		v := fitting(i)
		put(&s.Plain, v, i)
	}
}

func writeSeq(s *board) {
	for i := range sumWrites {
		v := fitting(i)
		_ = s.Seq.Store(context.Background(), &v)
	}
}

func readPlain(s *board) {
	for s.Done.Load() == 0 {
		v := get(&s.Plain)
		s.check(v)
	}
}

func readSeq(s *board) {
	var v sums
	for s.Done.Load() == 0 {
		if !s.Seq.TryLoad(&v) {
			s.Retries++
			_ = s.Seq.Load(context.Background(), &v)
		}
		s.check(v)
	}
}

//go:noinline
func get(from *sums) sums { return *from }

func fitting(i int) sums { return sums{uint64(i), uint64(2 * i), uint64(3 * i)} }

func (s *board) check(v sums) {
	if v.A+v.B != v.Sum {
		if s.Torn == 0 {
			s.A, s.B, s.Sum = v.A, v.B, v.Sum
		}
		s.Torn++
	}
	s.Reads++
	if oneCPU && s.Reads%64 == 0 {
		yield() // the reader, too, lets the other in
	}
}

func writeSums(a *Actor) error {
	s := see[board](a)
	f := map[string]func(*board){"plain copy": writePlain, "seqlock": writeSeq}[a.version]
	a.timed(sumWrites, func() { f(s) })
	s.Done.Store(1)
	return nil
}

func readSums(a *Actor) error {
	s := see[board](a)
	f := map[string]func(*board){"plain copy": readPlain, "seqlock": readSeq}[a.version]
	a.begin()
	start := time.Now()
	f(s)
	s.Took = int64(time.Since(start))
	a.head.Elapsed[a.me].Store(s.Took)
	a.head.Ops[a.me].Store(int64(s.Reads))
	return nil
}

func tryTornRead(st *Stage) (*Result, error) {
	if err := st.cast("write", "read"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r, s := st.result(), at[board](st)
	r.fact("writes", sumWrites)
	r.fact("reads", int64(s.Reads))
	r.share("did not fit", int64(s.Torn), int64(s.Reads))
	if s.Torn > 0 {
		r.fact("the first", grouped(int64(s.A))+" + "+grouped(int64(s.B))+" is not "+grouped(int64(s.Sum)))
	}
	if st.version == "seqlock" {
		r.fact("copied again", grouped(int64(s.Retries))+" times, "+grouped(int64(float64(s.Retries)/(float64(s.Took)/1e9)))+" a second")
	}
	return r, nil
}
