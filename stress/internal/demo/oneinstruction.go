package demo

import "sync/atomic"

// tallies are counters of two pairs of processes.
type tallies struct {
	Two    uint64 // of those with a CPU each
	_      [120]byte
	One    uint64 // of those that share one
	_      [120]byte
	Atomic [2]atomic.Uint64
}

const increments = 3_000_000 // by each process

var oneInstruction = &Demo{
	Name:    "one-instruction",
	Title:   "an increment that is one instruction, and is lost all the same",
	Live:    "Whether anything is lost depends on the machine: this shows it, and asserts nothing of it.",
	TwoCPUs: true,
	Story: `The same as lost-update; but now the increment is a single instruction, INCQ on amd64, which no interrupt can cut in two.
Two processes have a CPU each; two others share one. (arm64 has no such instruction: there it is load, add, store again.)`,
	Quiz: Quiz{
		Question: "Where are increments lost?",
		Choices:  []string{"nowhere: one instruction is atomic", "with a CPU each", "on one CPU, and with a CPU each"},
		Right:    1,
		Because:  "The kernel changes processes only between instructions. Another CPU does not wait for that.",
	},
	Broken: Version{Name: "INC", Shows: []string{"increment"}},
	Fixes:  []Version{{Name: "LOCK", Shows: []string{"incrementLocked"}, About: "The same instruction with a LOCK prefix: the CPU keeps the line for itself until it is done."}},
	Op:     "increment",
	Schedule: Schedule{
		Columns: []string{"CPU 1 (A: INC)", "CPU 2 (B: INC)", "counter"},
		Rows: [][]string{
			{"reads 0", "", "0"},
			{"", "reads 0", "0"},
			{"adds 1, writes 1", "", "1"},
			{"", "adds 1, writes 1", "1"},
		},
	},
	Why: `Inside the CPU an INC of a word in memory is still a read, an addition and a write. An interrupt comes before it or after
it, so on one CPU it is whole. A second CPU has its own clock. This is why code that was tested on one CPU, in a small container say,
loses updates on the next machine; and why nobody should count on what the compiler makes of n++.`,
	Use:   `atomic.Uint64 for one word, mutex.Mutex for more.`,
	roles: roles{"apart": apart, "together": together},
	try:   tryOneInstruction,
}

//go:noinline
func increment(p *uint64) {
	*p++
}

func incrementLocked(p *atomic.Uint64) {
	p.Add(1)
}

func apart(a *Actor) error {
	s := see[tallies](a)
	return a.increase(a.me, &s.Two, &s.Atomic[0])
}

func together(a *Actor) error {
	s := see[tallies](a)
	return a.increase(0, &s.One, &s.Atomic[1])
}

func (a *Actor) increase(cpu int, plain *uint64, locked *atomic.Uint64) error {
	if err := pin(cpu); err != nil {
		return err
	}
	a.timed(increments, func() {
		for range increments {
			if a.version == "INC" {
				increment(plain)
			} else {
				incrementLocked(locked)
			}
		}
	})
	return nil
}

func tryOneInstruction(st *Stage) (*Result, error) {
	if err := st.cast("apart", "apart"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r, s := st.result(), at[tallies](st)
	if err := st.cast("together", "together"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r.PIDs = st.result().PIDs
	const all = 2 * increments
	r.share("lost on one CPU", all-int64(s.One+s.Atomic[1].Load()), all)
	label := "lost with a CPU each"
	if cpus() == 1 {
		label = "lost, with no second CPU to be had"
	}
	r.share(label, all-int64(s.Two+s.Atomic[0].Load()), all)
	return r, nil
}
