package scenario

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"interlock/internal/vandal"
	"interlock/shm"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/report"
)

// hostileArea is the ground that worker 0 scribbles over, and accounts that it spares. What
// the ground's words do may be anything that the documentation has: no call may crash, panic
// otherwise, or outlast its context. And it must not touch what lies elsewhere: the honest
// have a mutex in a segment of their own, which the vandal does not map, and what that guards
// is exact.
type hostileArea struct {
	Ground vandal.Everything
	_      [64]byte

	Numbers vandal.Numbers
	_       [48]byte
	Damage  atomic.Uint64              // scribbles
	Calls   [hostileCalls]atomic.Int64 // of each kind that have come back
	Longest [hostileCalls]atomic.Int64 // how much longer than its context one took
	Timer   atomic.Int64               // how late Go's own timers were: the control
	Far     [64]byte                   // where honest processes find the other segment
}

const (
	hostileCalls = 12

	// hostilePatience is the deadline of each call.
	hostilePatience = 5 * time.Millisecond

	// hostileAim is how much longer a call may take, where nobody else wants the CPUs: a
	// waiter may have to look at words by itself.
	hostileAim   = 100 * time.Millisecond
	hostileLimit = 10 * hostileAim
)

func hostilePlan() *Plan {
	held := []uint32{LabelInside, labelOpened, labelHalf, labelClosed}
	var far *shm.Segment // in the supervisor: so it is there until the end
	return &Plan{
		Name:     "hostile",
		About:    "one process scribbles over the library's words: the others' calls end in time, and their mutex elsewhere is exact",
		Labels:   append(mutexLabels[:len(mutexLabels):len(mutexLabels)], "on vandalised ground", "scribbling"),
		Duration: 800 * time.Millisecond,
		Shape:    Shape{Procs: 4, Lanes: 4},
		Least:    Shape{Procs: 2, Lanes: 1},
		Traps:    held,
		Held:     held,
		Marks:    []string{"E-M"},
		Area:     func(procs, lanes int) int { return arena.SizeOf[hostileArea]() },
		Setup: func(a *arena.Arena) {
			var err error
			if far, err = shm.Memfd("interlock-stress-honest", int64(arena.SizeOf[mutexArea]())); err == nil {
				copy(hostileOf(a).Far[:], fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), far.File().Fd()))
			}
		},
		Attach: attachHostile,
		Check:  func(a *arena.Arena, f *Findings) { checkHostile(a, farOf(far), f) },
		Words: func(a *arena.Arena) []Word {
			if far == nil {
				return nil
			}
			return farOf(far).words()
		},
		Cleanup: func(*arena.Arena) error {
			if far == nil {
				return nil
			}
			return far.Close()
		},
	}
}

const (
	labelVandalised = labelRepairing + 1 + iota
	labelScribbling
)

func hostileOf(a *arena.Arena) *hostileArea { return arena.At[hostileArea](a.Scenario(), 0) }

func farOf(s *shm.Segment) *mutexArea { return arena.At[mutexArea](s.Bytes(), 0) }

func attachHostile(w *Worker) (Body, error) {
	h := hostileOf(w.Arena)
	if w.Index == 0 {
		return Body{Step: h.scribble}, nil
	}
	far, err := openFar(h)
	if err != nil {
		return Body{}, err
	}
	m := farOf(far)
	m.Mu.OnOwnerDeath(func(pid int) error { return m.repair(w, pid) })
	calls := h.Ground.Calls()
	return Body{Step: func(l *Lane) error {
		if l.Rand.Uint32N(4) != 0 {
			return m.step(l)
		}
		h.try(l, calls, l.Rand.IntN(len(calls)))
		return nil
	}}, nil
}

// openFar maps the segment of the honest.
func openFar(h *hostileArea) (*shm.Segment, error) {
	path, _, _ := strings.Cut(string(h.Far[:]), "\x00")
	f, err := os.OpenFile(path, os.O_RDWR, 0) // no path: the supervisor could not make it
	if err != nil {
		return nil, fmt.Errorf("the honest processes' segment: %w", err)
	}
	defer f.Close()
	return shm.FromFile(f)
}

// scribble is a burst of the vandal's. Its other lanes leave it the CPU. Now and then it lets
// what it has written stand for longer than anybody waits.
func (h *hostileArea) scribble(l *Lane) error {
	l.Label.Store(labelScribbling)
	if l.ID != 0 {
		time.Sleep(time.Millisecond)
		return nil
	}
	h.point(l)
	all := arena.Words(&h.Ground)
	for range 1000 {
		h.Numbers.Scribble(l.Rand, all)
	}
	h.Damage.Add(1000)
	if l.Rand.IntN(16) == 0 {
		h.Numbers.Cover(l.Rand, all)
		time.Sleep(2 * hostilePatience)
	}
	l.Ops.Add(1)
	return nil
}

// point sets the numbers that the vandal writes: of itself, of an honest process, of the last
// one that was killed, and 1.
func (h *hostileArea) point(l *Lane) {
	a := l.W.Arena
	dead := uint32(1<<30 - 1) // nobody's
	if n := int(a.Kills.Load()); n > 0 {
		dead = a.Grave(n - 1).PID.Load()
	}
	honest := a.Slot(1 + l.Rand.IntN(int(a.Procs.Load())-1)).PID.Load()
	for i, v := range []uint32{l.W.Slot.PID.Load(), honest, dead, 1} {
		h.Numbers[i].Store(v)
	}
}

// try makes one call on vandalised ground.
func (h *hostileArea) try(l *Lane, calls []vandal.Call, i int) {
	l.Label.Store(labelVandalised)
	ctx, cancel := context.WithTimeout(context.Background(), hostilePatience)
	defer cancel()
	begin := time.Now()
	if err := calls[i].Try(ctx); err != nil {
		l.Fault("hostile: undocumented: %v", err)
	}
	largest(&h.Longest[i], time.Since(begin)-hostilePatience)
	h.Calls[i].Add(1)
	if l.Rand.Uint32N(64) == 0 {
		due := time.Now().Add(hostilePatience)
		time.Sleep(hostilePatience)
		largest(&h.Timer, time.Since(due))
	}
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
}

// largest keeps the largest of all.
func largest(of *atomic.Int64, d time.Duration) {
	for {
		old := of.Load()
		if int64(d) <= old || of.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

func checkHostile(a *arena.Arena, m *mutexArea, f *Findings) {
	h := hostileOf(a)
	m.check(a, f)
	names := h.Ground.Calls()
	worst, which, calls := time.Duration(0), "none", int64(0)
	for i := range names {
		calls += h.Calls[i].Load()
		f.Metric("calls_"+names[i].Name, float64(h.Calls[i].Load()))
		if over := time.Duration(h.Longest[i].Load()); over > worst {
			worst, which = over, names[i].Name
		}
	}
	timer := time.Duration(h.Timer.Load())
	if worst > hostileLimit+2*timer {
		f.Late = append(f.Late, fmt.Sprintf("hostile: %s came back %v after its deadline: more than ten times %v; Go's own timers were %v late at most",
			which, worst, hostileAim, timer))
	}
	f.Notes = append(f.Notes, fmt.Sprintf("scribbles %s calls there %s latest %s after its deadline (%s), timer %s",
		report.Count(h.Damage.Load()), report.Count(uint64(calls)), report.Short(worst), which, report.Short(timer)))
	f.Metric("latest_ns", float64(worst))
	f.Metric("timer_ns", float64(timer))
}
