package demo

import (
	"context"
	"sync/atomic"

	"interlock/seqlock"
)

// page is a value of several words, all the same.
type page [64]uint64

// twin has two copies of a page, and a version that says which is the newer.
type twin struct {
	Version uint64
	_       [56]byte
	Copy    [2]page
	Buffer  seqlock.DoubleBuffer[page]
	Looks   atomic.Int64 // of the reader that waits for an even version
	Done    atomic.Uint32
	_       uint32
	Reads   uint64
	Torn    uint64
}

const pageWrites = 200_000

var doubleBuffer = &Demo{
	Name:  "double-buffer",
	Title: "two copies, a version, and a reader that never returns",
	Story: `So that readers need not wait, a writer keeps two copies: it fills the one that is not in use, then counts the version up,
whose lowest bit says which copy is the newer. Readers take an odd version for "being written", as with a seqlock. So it stands in
many tutorials.

First the writer writes once, and ends; then a reader comes. After that, a reader that does without the even and odd, against a writer
at full speed.`,
	Quiz: Quiz{
		Question: "The writer has written once and ended. What does the first reader get?",
		Choices:  []string{"the value", "the value before", "nothing: it waits for ever"},
		Right:    2,
		Because:  "After one write the version is 1, which is odd, and stays it.",
	},
	Broken: Version{Name: "version counted once", Shows: []string{"writeTwin", "readEven", "readNewest"}, Parts: []string{"copyPage"}},
	Fixes: []Version{{Name: "DoubleBuffer", Shows: []string{"writeBuffer", "readBuffer"},
		About: "Count before and after each write, and look again after the copy: seqlock.DoubleBuffer."}},
	Op: "write or read",
	Schedule: Schedule{
		Columns: []string{"A writes", "B reads", "version"},
		Rows: [][]string{
			{"", "", "0"},
			{"copy[1] = new, version++", "", "1"},
			{"ends", "odd: waits until it is even", "1"},
			{"", "...for ever", "1"},
			{"or with the other reader:", "", ""},
			{"", "copies half of copy[1]", "1"},
			{"copy[0] = new, version++", "", "2"},
			{"copy[1] = newer, ...", "copies the rest: torn", "2"},
		},
	},
	Why: `Two schemes are mixed up here. In a seqlock the version is odd during a write, because it is counted before and after. Here it
is counted once, so every other finished version is odd. And two copies are no protection by themselves: a reader that is slow, or not
running, is overtaken by the second write after the one it reads. The version has to be looked at again after the copy.`,
	Use:   `seqlock.DoubleBuffer: its readers do not wait for a writer that is stopped or dead. seqlock.Seqlock if half the memory matters more.`,
	roles: roles{"once": writeOnce, "even": readOnce, "write": writePages, "read": readPages},
	try:   tryDoubleBuffer,
}

func writeTwin(s *twin, v page) {
	next := (load(&s.Version) + 1) % 2
	s.Copy[next] = v
	store(&s.Version, load(&s.Version)+1)
}

func readEven(s *twin) page {
	for turn := 0; ; turn++ {
		before := load(&s.Version)
		if before%2 == 1 { // it is being written
			s.Looks.Add(1)
			relax(turn)
			continue
		}
		v := copyPage(&s.Copy[before%2], turn)
		if load(&s.Version) == before {
			return v
		}
	}
}

func readNewest(s *twin, i int) page {
	return copyPage(&s.Copy[load(&s.Version)%2], i)
}

//go:noinline
func copyPage(from *page, i int) (v page) {
	copy(v[:32], from[:32])
	window(i) // on one CPU: sched_yield, every 64th time
	copy(v[32:], from[32:])
	return v
}

func writeBuffer(s *twin, v page) {
	_ = s.Buffer.Store(context.Background(), &v)
}

func readBuffer(s *twin) (v page) {
	s.Buffer.Load(&v)
	return v
}

func filled(n int) (v page) {
	for i := range v {
		v[i] = uint64(n)
	}
	return v
}

// write and read are those of a version.
func (a *Actor) write(s *twin, v page) {
	if a.version == "DoubleBuffer" {
		writeBuffer(s, v)
	} else {
		writeTwin(s, v)
	}
}

func writeOnce(a *Actor) error {
	a.write(see[twin](a), filled(1))
	return nil
}

func readOnce(a *Actor) error {
	s := see[twin](a)
	if a.version == "DoubleBuffer" {
		readBuffer(s)
	} else {
		readEven(s)
	}
	return nil
}

func writePages(a *Actor) error {
	s := see[twin](a)
	a.timed(pageWrites, func() {
		for i := range pageWrites {
			a.write(s, filled(i))
			window(i)
		}
	})
	s.Done.Store(1)
	return nil
}

func readPages(a *Actor) error {
	s := see[twin](a)
	a.begin()
	for i := 0; s.Done.Load() == 0; i++ {
		var v page
		if a.version == "DoubleBuffer" {
			v = readBuffer(s)
			window(i)
		} else {
			v = readNewest(s, i)
		}
		s.Reads++
		for _, word := range v {
			if word != v[0] {
				s.Torn++
				break
			}
		}
	}
	return nil
}

func tryDoubleBuffer(st *Stage) (*Result, error) {
	s := at[twin](st)
	if err := st.cast("once"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	if err := st.cast("even"); err != nil {
		return nil, err
	}
	reader := st.procs[1]
	const looks = 100_000 // the writer has ended: nothing will change any more
	if err := st.until("the reader has a value, or has looked often", func() bool { return reader.gone() || s.Looks.Load() > looks }); err != nil {
		return nil, err
	}
	never := !reader.gone()
	if never {
		reader.kill()
	}
	st.head.Ready.Store(2) // those two have been at no start
	if err := st.cast("write", "read"); err != nil {
		return nil, err
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	r := st.result()
	if never {
		r.fact("B, after one write", "odd in "+grouped(s.Looks.Load())+" looks, and A has ended: for ever")
	} else {
		r.fact("B, after one write", "has the value")
	}
	r.share("D's torn copies", int64(s.Torn), int64(s.Reads))
	switch fixed := st.version == "DoubleBuffer"; {
	case fixed && never:
		r.Wrong = max(r.Wrong, 1)
	case !fixed && !never:
		r.Wrong = 0 // it must show both faults
	}
	return r, nil
}
