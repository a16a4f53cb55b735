package scenario

import (
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/procfs"
)

// director gives the orders of a piece with the props of handArea, and watches.
type director struct {
	*conductor
	h       *handArea
	samples map[string][]time.Duration
	rounds  uint64 // of all duels but the last
	rescued int    // waiters whose wake died with somebody, and whom the look woke
}

// asleepLooks is how many looks must find a waiter asleep beside what it waits
// for, nobody owing it a wake. One could be chance: a thread that has just been
// woken, seen a moment before. After so many, it was not.
const asleepLooks = 5

func newDirector(st Stage) *director {
	return direct(newConductor(st), arena.At[handArea](st.Arena().Scenario(), 0))
}

func direct(c *conductor, h *handArea) *director {
	return &director{conductor: c, h: h, samples: map[string][]time.Duration{}}
}

// sleeper orders slot to wait for something, and gives it the time to fall
// asleep over it.
func (d *director) sleeper(slot int, op uint32) bool {
	return d.sleeperUnless(slot, op, func() bool { return false })
}

// sleeperUnless is sleeper for a wait that may be over before it is seen.
func (d *director) sleeperUnless(slot int, op uint32, over func() bool) bool {
	d.order(slot, op)
	lane := d.a.Lane(slot, 0)
	return d.until("a worker does not begin to wait", func() bool { return lane.Label.Load() == LabelWaiting || over() }) &&
		d.until("a worker that has to wait does not go to sleep", func() bool { return procfs.Asleep(d.st.PID(slot)) || over() }) &&
		d.rest(200*time.Microsecond)
}

// scene is a moment in which a waiter must be woken.
type scene struct {
	what    string
	waiters []int       // who waits
	free    func() bool // what they wait for is to be had
	wanted  int         // of the waiters, how many must get it
	calm    bool        // nobody died: then no wake may be lost
}

// play waits until enough waiters have got what they wait for. In between it
// looks whether somebody sleeps beside it who should not.
func (d *director) play(s scene) bool {
	begin, p, nextLook, looks := time.Now(), d.patience(), 2*time.Millisecond, 0
	for d.served(s.waiters) < s.wanted {
		past := time.Since(begin)
		if p.out() {
			d.st.Hang("%s: asleep for %v beside what it waits for; neither a wake nor a look came", s.what, past.Round(time.Millisecond))
			return false
		}
		if past > nextLook {
			nextLook = past + time.Millisecond
			if d.overslept(s) {
				looks++
			}
		}
		if !d.rest(50 * time.Microsecond) {
			return false
		}
	}
	if looks >= asleepLooks {
		if s.calm {
			d.st.Lost("%s: somebody slept on beside it, until a look came after %v", s.what, time.Since(begin).Round(time.Millisecond))
			return false
		}
		d.rescued++
	}
	return true
}

func (d *director) served(slots []int) (n int) {
	for _, slot := range slots {
		if d.done(slot) {
			n++
		}
	}
	return n
}

// overslept says whether what the waiters wait for is to be had, nobody is on
// the way to wake them, and none of their threads runs or is about to.
func (d *director) overslept(s scene) bool {
	for slot := range d.orders {
		if label := d.a.Lane(slot, 0).Label.Load(); label == LabelGiving || label == LabelInside {
			return false
		}
	}
	before := d.served(s.waiters)
	for _, w := range s.waiters {
		if d.done(w) {
			continue
		}
		if d.a.Lane(w, 0).Label.Load() != LabelWaiting || !procfs.Asleep(d.st.PID(w)) {
			return false
		}
	}
	return s.free() && d.served(s.waiters) == before
}

// times returns the hand-overs of a scene in order: from what the giver did to
// the first waiter, from that one to the second.
func (d *director) times(kind string, given int64, waiters []int, chain bool) {
	var gots []int
	for _, w := range waiters {
		if d.done(w) {
			gots = append(gots, w)
		}
	}
	slices.SortFunc(gots, func(x, y int) int {
		return int(d.a.Lane(x, 0).Rec[recGot].Load()) - int(d.a.Lane(y, 0).Rec[recGot].Load())
	})
	for i, w := range gots {
		took := time.Duration(int64(d.a.Lane(w, 0).Rec[recGot].Load()) - given)
		name := kind
		if chain && i > 0 {
			name += ", next"
		}
		d.samples[name] = append(d.samples[name], max(0, took))
		if chain {
			given = int64(d.a.Lane(w, 0).Rec[recGave].Load())
		}
	}
}

// cast returns three workers in random order.
func (d *director) cast() (a, b, c int) {
	p := make([]int, len(d.orders))
	for i := range p {
		p[i] = i
	}
	for i := len(p) - 1; i > 0; i-- {
		j := d.st.Random(i + 1)
		p[i], p[j] = p[j], p[i]
	}
	return p[0], p[1], p[2]
}

// crowd puts all workers on one CPU, or lets them go where they want. On one
// CPU who is woken often runs before who woke it goes on.
func (d *director) crowd(all *unix.CPUSet, together bool) {
	set := *all
	if together {
		set.Zero()
		for cpu := range 1024 {
			if all.IsSet(cpu) {
				set.Set(cpu)
				break
			}
		}
	}
	for slot := range d.orders {
		if pid := d.st.PID(slot); pid != 0 {
			procfs.Pin(pid, &set)
		}
	}
}

// median of the samples so far; 0 if none.
func (d *director) median(kind string) time.Duration {
	s := slices.Sorted(slices.Values(d.samples[kind]))
	if len(s) == 0 {
		return 0
	}
	return s[len(s)/2]
}
