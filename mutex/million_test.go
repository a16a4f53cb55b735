// What holds for a million mutexes in one segment, in the hands of processes that are
// killed (T25, P-K1): beyond the 2,048 that the kernel visits,
//   - every orphan is found, and repaired once for each death;
//   - a process that uses them all has hardly more threads and private memory than
//     one that uses one;
//   - what they cost is printed, beside one mutex.
package mutex

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"interlock/internal/proctest"
	"interlock/internal/race"
)

const (
	aMillion   = 1_000_000
	atOnce     = 4 // mutexes that a worker holds at once
	maxThreads = 16
	maxPrivate = 8 << 20
)

// A ward is what one of the million guards.
type ward struct {
	before uint32 // equal to after, unless somebody died between the two stores
	after  uint32
	deaths atomic.Uint32 // of processes that certainly held m
	mended atomic.Uint32
}

// A desk is where a worker notes which mutexes it holds: index plus one.
type desk struct {
	holds [atOnce]atomic.Uint32
	ops   atomic.Uint64
	_     [64 - 8*atOnce]byte
}

// million is the segment.
type million struct {
	stop  atomic.Uint32
	_     [60]byte
	desks [workersOfMillion]desk
	locks [aMillion]Mutex
	wards [aMillion]ward
}

const workersOfMillion = 8

// repairMillion registers the repair of all of them.
func repairMillion(mem []byte) *million {
	a := at[million](mem, 0)
	OnOwnerDeath(mem, func(m *Mutex, _ int) error {
		g := &a.wards[(m.addr()-a.locks[0].addr())/mutexSize]
		g.after = g.before
		g.mended.Add(1)
		return nil
	})
	return a
}

func init() {
	proctest.Register("worker of a million", func(c *proctest.Child) {
		a := repairMillion(c.Memory(0))
		d := &a.desks[c.Int(0)]
		a.locks[c.Int(0)].Lock() // the guardian and its like are there, and no more
		a.locks[c.Int(0)].Unlock()
		threads, private := proctest.Threads(os.Getpid()), proctest.PrivateMemory(os.Getpid())
		for a.stop.Load() == 0 {
			a.work(d)
		}
		c.Sayf("%d %d", proctest.Threads(os.Getpid())-threads, proctest.PrivateMemory(os.Getpid())-private)
	})
	proctest.Register("cost of a million", func(c *proctest.Child) {
		mem := c.Memory(0)
		a := at[million](mem, 0)
		order := rand.Perm(aMillion)
		pass := func(of func(i int) int) time.Duration {
			start := time.Now()
			for _, i := range order {
				m := &a.locks[of(i)]
				m.Lock()
				m.Unlock()
			}
			return time.Since(start) / aMillion
		}
		pass(func(i int) int { return i }) // the first time each is enrolled
		one := pass(func(int) int { return order[0] })
		few := pass(func(i int) int { return order[i%1000] })
		all := pass(func(i int) int { return i })
		c.Sayf("a pair of Lock and Unlock: %v of one mutex, %v of a thousand linked, %v of a million, in random order", one, few, all)
	})
}

// work takes some at random, lowest first so that no two workers wait in a circle.
func (a *million) work(d *desk) {
	var mine [atOnce]int
	for n := range mine {
		mine[n] = rand.IntN(aMillion)
	}
	slices.Sort(mine[:])
	if len(slices.Compact(mine[:])) < atOnce {
		return // one of them twice
	}
	for n, i := range mine {
		a.locks[i].Lock()
		d.holds[n].Store(uint32(i) + 1)
		a.wards[i].before++
	}
	for n, i := range mine {
		a.wards[i].after++
		d.holds[n].Store(0)
		a.locks[i].Unlock()
	}
	d.ops.Add(atOnce)
}

// bury kills a worker and notes what it certainly held.
func (a *million) bury(p *proctest.Proc, d *desk) (held int) {
	p.Bury()
	for n := range d.holds {
		if i := d.holds[n].Swap(0); i != 0 {
			a.wards[i-1].deaths.Add(1)
			held++
		}
	}
	return held
}

func skipWhereSlow(t *testing.T) {
	t.Helper()
	proctest.Excuse("worker of a million", "cost of a million")
	proctest.SkipEmulated(t, "a million takes minutes")
	if race.Enabled {
		t.Skip("the race detector keeps something for each of them")
	}
}

func TestAMillionLocks(t *testing.T) { // T25, P-K1
	skipWhereSlow(t)
	f, mem := proctest.Memfd(t, int(sizeOf[million]()))
	a := repairMillion(mem)
	proctest.Watchdog(t, 3*time.Minute, nil)
	start := func(i int) *proctest.Proc {
		return proctest.Start(t, "worker of a million", proctest.Files(f), proctest.Args(itoa(i)))
	}
	var workers [workersOfMillion]*proctest.Proc
	for i := range workers {
		workers[i] = start(i)
	}
	kills, held := 0, 0
	for end := time.Now().Add(proctest.Lasts(t, 2*time.Second, time.Minute)); time.Now().Before(end); kills++ {
		i := rand.IntN(workersOfMillion)
		time.Sleep(rand.N(100 * time.Millisecond)) // a kill comes at any time
		held += a.bury(workers[i], &a.desks[i])
		workers[i] = start(i)
	}
	a.stop.Store(1)
	ops := uint64(0)
	for i, p := range workers {
		modest(t, p.Line())
		p.WaitExit(0)
		ops += a.desks[i].ops.Load()
	}
	t.Logf("%d operations; %d kills, %d mutexes certainly held", ops, kills, held)
	allFound(t, a)
	if held == 0 {
		t.Error("nobody died holding anything")
	}
}

// modest checks what a worker says of its threads and its memory.
func modest(t *testing.T, line string) {
	t.Helper()
	var threads, private int
	if _, err := fmt.Sscan(line, &threads, &private); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	t.Logf("a worker: %d more threads, %d KiB more private memory", threads, private>>10)
	if threads > maxThreads || private > maxPrivate {
		t.Errorf("more than %d threads, or %d bytes", maxThreads, maxPrivate)
	}
}

// allFound takes each of them once.
func allFound(t *testing.T, a *million) {
	t.Helper()
	start := time.Now()
	orphans, mended, worst := 0, 0, time.Duration(0)
	for i := range a.locks {
		m, g := &a.locks[i], &a.wards[i]
		if m.word.Load() != 0 {
			orphans++
		}
		began := time.Now()
		m.Lock()
		worst = max(worst, time.Since(began))
		mended += int(g.mended.Load())
		if g.before != g.after || g.mended.Load() < g.deaths.Load() {
			t.Fatalf("number %d: %d deaths, %d repairs, pair %d and %d", i, g.deaths.Load(), g.mended.Load(), g.before, g.after)
		}
		m.Unlock()
	}
	t.Logf("%d repairs in all; %d orphans were left, found in %v, the slowest in %v", mended, orphans, time.Since(start), worst)
	if proctest.TooLate(worst) {
		t.Errorf("one took %v", worst)
	}
}

func TestWhatAMillionLocksCost(t *testing.T) {
	skipWhereSlow(t)
	f, _ := proctest.Memfd(t, int(sizeOf[million]()))
	p := proctest.Start(t, "cost of a million", proctest.Files(f))
	t.Log(p.Line())
	p.WaitExit(0)
}
