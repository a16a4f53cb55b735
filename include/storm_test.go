package include

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"interlock/condvar"
	"interlock/internal/proctest"
	"interlock/shm"
)

func (l *ledger) sum() (n uint64) {
	for _, d := range l.Mine {
		n += d
	}
	return n
}

func (b *board) mend(l *ledger) {
	if l.N != l.sum() && l.N != l.sum()+1 {
		b.Broken++
	}
	l.Mine[0] += l.N - l.sum() // what the dead one had done, it did
}

func (b *board) heal(int) error {
	b.mend(&b.Makes)
	b.mend(&b.Takes)
	b.Inside = 0
	return nil
}

func init() {
	proctest.Register("storm", func(c *proctest.Child) {
		b, seg, err := shm.Share[board](context.Background(), c.Args[0], nil)
		c.Check(err)
		defer seg.Close()
		b.Mu.OnOwnerDeath(b.heal)
		c.Say("ready")
		makes := c.Int(2) == 1
		mine, forUs, forThem := &b.Takes, &b.Made, &b.Taken
		if makes {
			mine, forUs, forThem = &b.Makes, &b.Taken, &b.Made
		}
		for b.turn(mine, c.Int(1), makes, forUs, forThem) {
		}
		c.Say("ok")
	})
}

// turn makes or takes one token, as storm in testdata/peer.c does.
func (b *board) turn(mine *ledger, slot int, makes bool, forUs, forThem *condvar.Cond) bool {
	b.Mu.Lock()
	defer b.Mu.Unlock()
	full := uint64(0)
	if makes {
		full = room
	}
	for b.Stop == 0 && b.Makes.N-b.Takes.N == full {
		ctx, cancel := context.Background(), func() {}
		if rand.IntN(2) == 0 {
			ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(3))*time.Millisecond)
		}
		_ = forUs.WaitContext(ctx, &b.Mu) // its end, or its deadline
		cancel()
	}
	if b.Stop != 0 {
		return false
	}
	if b.Inside != 0 {
		b.Broken++
	}
	b.Inside = 1
	mine.N++
	mine.Mine[slot]++
	b.Inside = 0
	if rand.IntN(8) > 0 {
		forThem.Signal()
	} else {
		forThem.Broadcast()
	}
	return true
}

// sailor starts one of the storm: slots 0 to 3 make, 0, 1, 4 and 5 are C's.
func (d desk) sailor(t *testing.T, slot int) *proctest.Proc {
	makes := 0
	if slot < 4 {
		makes = 1
	}
	if slot%4 < 2 {
		p := d.peer(t)
		p.Send(fmt.Sprintf("storm %d %d %d", slot, makes, rand.Uint32()>>1))
		return p.Proc
	}
	p := proctest.Start(t, "storm", proctest.Args(d.name, fmt.Sprint(slot), fmt.Sprint(makes)))
	p.Expect("ready")
	return p
}

// T10, T14, T22, T44: Go and C make and take tokens under one mutex and two condition
// variables, and are killed and replaced.
func TestAStormOfGoAndC(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		proctest.Watchdog(t, 2*time.Minute, func() string {
			pid, held := d.Mu.Owner()
			return fmt.Sprintf("held by %d (%v); %+v %+v", pid, held, d.Makes, d.Takes)
		})
		var all [crowd]*proctest.Proc
		for slot := range all {
			all[slot] = d.sailor(t, slot)
		}
		d.Mu.OnOwnerDeath(d.heal)
		kills, longest := 0, time.Duration(0)
		end := time.Now().Add(proctest.Lasts(t, 2*time.Second, time.Minute))
		for time.Now().Before(end) {
			slot := rand.IntN(crowd)
			all[slot].Kill()
			kills++
			start, done := time.Now(), d.done()
			all[slot] = d.sailor(t, slot)
			proctest.Until(t, "the storm to go on", func() bool { return d.done() > done+100 })
			longest = max(longest, time.Since(start))
		}
		d.calm(t, all[:])
		t.Logf("%d killed, %d tokens made; the longest that a hundred turns took: %v", kills, d.Makes.N, longest)
	})
}

// done is how much has been done so far.
func (d desk) done() uint64 {
	d.Mu.Lock()
	defer d.Mu.Unlock()
	return d.Makes.N + d.Takes.N
}

// calm ends the storm, and looks at the accounts.
func (d desk) calm(t *testing.T, all []*proctest.Proc) {
	t.Helper()
	d.Mu.Lock()
	d.Stop = 1
	d.Mu.Unlock()
	d.Made.Broadcast()
	d.Taken.Broadcast()
	for _, p := range all {
		p.Expect("ok")
	}
	if d.Broken != 0 || d.Makes.N != d.Makes.sum() || d.Takes.N != d.Takes.sum() || d.Makes.N-d.Takes.N > room {
		t.Errorf("%d broken; made %+v, taken %+v", d.Broken, d.Makes, d.Takes)
	}
	if d.Makes.N == 0 {
		t.Error("nothing was made")
	}
}
