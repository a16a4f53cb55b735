// What holds for a bounded buffer on one mutex and two Conds, with producers and
// consumers in several processes that are killed at random and replaced: every item
// comes out, once, in order. (T45, T46, T47 at once, and T85 in small.)
package condvar

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"interlock/internal/proctest"
	"interlock/internal/spin"
	"interlock/mutex"
)

const (
	items = 60_000
	slots = 16
)

// A ring is the buffer. Item i is made when head goes from i to i+1, and taken when
// tail does. What is written before that can be written again.
type ring struct {
	m                 mutex.Mutex
	_                 [24]byte
	notFull, notEmpty Cond
	_                 [32]byte
	head, tail        atomic.Int64
	wrong             atomic.Int64 // items that were not what they should be
	repairs           atomic.Int64
	slot              [slots]atomic.Int64
	taken             [items]atomic.Uint32 // how often each item came out
}

func init() {
	proctest.Register("producer", func(c *proctest.Child) {
		r := ringAt(c.Memory(0))
		r.m.OnOwnerDeath(r.repair)
		c.Say("here")
		for r.produce() {
		}
	})
	proctest.Register("consumer", func(c *proctest.Child) {
		r := ringAt(c.Memory(0))
		r.m.OnOwnerDeath(r.repair)
		c.Say("here")
		for r.consume() {
		}
	})
}

func (r *ring) produce() (more bool) {
	r.m.Lock()
	defer r.m.Unlock()
	for r.head.Load()-r.tail.Load() == slots {
		r.notFull.Wait(&r.m)
	}
	i := r.head.Load()
	if i == items {
		return false
	}
	r.slot[i%slots].Store(i)
	spin.Pause(300) // so that some die here
	r.head.Store(i + 1)
	r.notEmpty.Signal()
	return true
}

func (r *ring) consume() (more bool) {
	r.m.Lock()
	defer r.m.Unlock()
	for r.head.Load() == r.tail.Load() && r.tail.Load() < items {
		r.notEmpty.Wait(&r.m)
	}
	i := r.tail.Load()
	if i == items {
		return false
	}
	if r.slot[i%slots].Load() != i || r.taken[i].Add(1) != 1 {
		r.wrong.Add(1)
	}
	spin.Pause(300)
	r.tail.Store(i + 1)
	if i+1 == items {
		r.notEmpty.Broadcast()
	}
	r.notFull.Signal()
	return true
}

// repair finishes what the dead one had begun, and signals in its place.
func (r *ring) repair(int) error {
	if i := r.tail.Load(); i < items && r.taken[i].Load() > 0 {
		r.tail.Store(i + 1)
	}
	r.notFull.Broadcast()
	r.notEmpty.Broadcast()
	r.repairs.Add(1)
	return nil
}

func TestABufferBetweenMortalProcessesLosesAndDoublesNothing(t *testing.T) {
	for kills := 0; kills < 10; { // where items go faster than processes start it takes several buffers
		kills += flow(t)
	}
}

// flow has all items go through one buffer, and returns how many processes it killed
// meanwhile.
func flow(t *testing.T) (kills int) {
	t.Helper()
	f, mem := proctest.Memfd(t, 256<<10)
	r := ringAt(mem)
	r.m.OnOwnerDeath(r.repair)
	proctest.Watchdog(t, hang, func() string { return r.String() })
	kinds := []string{"producer", "producer", "consumer", "consumer"}
	var crew []*proctest.Proc
	for _, kind := range kinds {
		crew = append(crew, child(t, f, kind, "here", proctest.Zombie()))
	}
	for start := time.Now(); r.tail.Load() < items; kills++ {
		enough := min(items, r.tail.Load()+1+rand.Int64N(items/100))
		proctest.Until(t, "some items", func() bool { return r.tail.Load() >= enough })
		i := rand.IntN(len(crew))
		crew[i].Kill() // also one that has just ended
		crew[i] = child(t, f, kinds[i], "here", proctest.Zombie())
		if time.Since(start) > hang {
			t.Fatal("it goes on for ever")
		}
	}
	for _, p := range crew {
		p.WaitExit(0)
	}
	for i := range r.taken {
		if n := r.taken[i].Load(); n != 1 {
			t.Errorf("item %d came out %d times", i, n)
		}
	}
	t.Logf("%d items, %d kills, %d repairs", items, kills, r.repairs.Load())
	if r.wrong.Load() > 0 || r.head.Load() != items {
		t.Errorf("wrong: %s", r)
	}
	return kills
}

func (r *ring) String() string {
	pid, held := r.m.Owner()
	return fmt.Sprintf("owner %d held %v; head %d tail %d; not full: seq %d waiters %d; not empty: seq %d waiters %d; wrong %d",
		pid, held, r.head.Load(), r.tail.Load(), r.notFull.seq.Load(), r.notFull.waiters.Load(),
		r.notEmpty.seq.Load(), r.notEmpty.waiters.Load(), r.wrong.Load())
}
