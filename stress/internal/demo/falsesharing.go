package demo

import "sync/atomic"

// neighbours are two counters that have nothing to do with each other.
type neighbours struct {
	Near [2]atomic.Uint64 // in one line
	_    [112]byte
	Far  [2]struct {
		N atomic.Uint64
		_ [120]byte
	}
}

const neighbourly = 5_000_000

var falseSharing = &Demo{
	Name:    "false-sharing",
	Title:   "two counters that have nothing to do with each other",
	Live:    "Nothing goes wrong here but the time, and that depends on the machine.",
	TwoCPUs: true,
	Story: `A and B each count in a counter of their own, five million times, on a CPU each. The two counters are neighbours in memory; then
they are not.`,
	Quiz: Quiz{
		Question: "Does it matter where the counters are?",
		Choices:  []string{"no: nobody touches the other's", "yes: far apart is faster", "yes: side by side is faster, both fit into the cache"},
		Right:    1,
		Because:  "What CPUs hand to each other are lines of 64 bytes, not words.",
	},
	Broken: Version{Name: "side by side", Shows: []string{"countNear"}},
	Fixes:  []Version{{Name: "apart", Shows: []string{"countFar"}, About: "Each in a line of its own."}},
	Op:     "increment",
	Schedule: Schedule{
		Columns: []string{"CPU of A", "CPU of B", "the line"},
		Rows: [][]string{
			{"adds to its counter", "", "with A"},
			{"", "wants to add to its own", "goes to B"},
			{"wants to add again", "", "goes to A"},
			{"", "...", "goes to B"},
		},
	},
	Why: `A CPU can write a line only when no other has it. Two counters in one line make it go back and forth, for every increment, as if
there were only one. Reading is no better if somebody else writes next to it.`,
	Use: `Padding between what different processes write often: shm.Pad, 64 bytes, better 128, as many CPUs fetch lines in pairs. Do not
pad what is seldom written: it costs memory, and a look at both is then two lines.`,
	roles: roles{"count": countNeighbour},
	try:   tryFalseSharing,
}

func countNear(s *neighbours, me int) {
	for range neighbourly {
		s.Near[me].Add(1)
	}
}

func countFar(s *neighbours, me int) {
	for range neighbourly {
		s.Far[me].N.Add(1)
	}
}

func countNeighbour(a *Actor) error {
	s := see[neighbours](a)
	if err := pin(a.me); err != nil {
		return err
	}
	f := map[string]func(*neighbours, int){"side by side": countNear, "apart": countFar}[a.version]
	a.timed(neighbourly, func() { f(s, a.me) })
	return nil
}

func tryFalseSharing(st *Stage) (*Result, error) {
	if err := st.cast("count", "count"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r, s := st.result(), at[neighbours](st)
	for i := range 2 {
		n := s.Near[i].Load() + s.Far[i].N.Load()
		r.fact(string(rune('A'+i))+" counted", int64(n))
		r.Wrong += int64(neighbourly - n)
	}
	return r, nil
}
