// What holds for memory that goes away:
//   - Detach refuses, and changes nothing, while this process holds a mutex in it,
//     linked or not, or a goroutine waits in it;
//   - once detached it can be unmapped and mapped again, at the same address or
//     another, for writing or reading, and the mutexes in it work: the kernel marks
//     them again, or the call says EFAULT;
//   - nothing is left at the address: the kernel does not write to what is mapped
//     there next (P-K4), and repairs registered for it do not run (T17);
//   - a second mapping of the same memory keeps working.
package mutex

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/park"
	"interlock/internal/proc"
	"interlock/internal/proctest"
	"interlock/internal/region"
	"interlock/internal/robust"
)

func init() {
	proctest.Register("moves", moves)
	proctest.Register("reads", reads)
	proctest.Register("unlinked holder", func(c *proctest.Child) {
		c.Check(refuse(unix.SYS_SET_ROBUST_LIST))
		mem := c.Memory(0)
		m := &at[board](mem, 0).m
		m.Lock()
		c.Sayf("%v", errors.Is(Detach(mem), region.ErrBusy))
		m.Unlock()
		c.Sayf("%v", Detach(mem))
	})
}

// moves locks in memory, detaches and unmaps it, maps it again at an address the
// test chooses, and holds it there.
func moves(c *proctest.Child) {
	mem := c.Memory(0)
	m := &at[board](mem, 0).m
	m.Lock()
	m.Unlock()
	addr := m.addr()
	c.Check(Detach(mem))
	c.Check(unix.MunmapPtr(at0(mem), uintptr(len(mem))))
	switch c.Args[0] {
	case "the same address":
	case "another address":
		addr += 16 * uintptr(os.Getpagesize())
	case "a stranger's memory": // which happens to hold our TID where the mutex was
		other, err := fixed(int(c.File(1).Fd()), len(mem), addr, unix.PROT_READ|unix.PROT_WRITE)
		c.Check(err)
		at[board](other, 0).m.word.Store(proc.TID(proc.Me()))
		c.Say("ready")
		c.Recv()
	}
	again, err := fixed(int(c.File(0).Fd()), len(mem), addr, unix.PROT_READ|unix.PROT_WRITE)
	c.Check(err)
	at[board](again, 0).m.Lock()
	c.Say("locked")
	c.Recv()
}

// reads has used the mutex and then has only a read-only mapping of it.
func reads(c *proctest.Child) {
	if c.Args[0] == "a former user without links" {
		c.Check(refuse(unix.SYS_SET_ROBUST_LIST))
	}
	mem := c.Memory(0)
	m := &at[board](mem, 0).m
	if c.Args[0] != "a newcomer" {
		m.Lock()
		m.Unlock()
	}
	addr := m.addr()
	c.Check(Detach(mem))
	c.Check(unix.MunmapPtr(at0(mem), uintptr(len(mem))))
	ro, err := fixed(int(c.File(0).Fd()), len(mem), addr, unix.PROT_READ)
	c.Check(err)
	region.AddReadOnly(addr, addr+uintptr(len(mem))) // as shm does
	if c.Args[1] == "unknown" {
		c.Check(region.Detach(addr, addr+uintptr(len(mem))))
	}
	m = &at[board](ro, 0).m
	c.Say(answer(m.LockContext(context.Background())))
	c.Say(told(panicked(m.Lock)))
	c.Say(told(panicked(func() { m.TryLock() })))
	c.Say(answer(m.Init()))
	c.Sayf("%v", m.ownerGone())
}

func TestDetachRefusesWhileSomethingIsGoingOn(t *testing.T) {
	proctest.NeedsRobustLists(t)
	f, b := newBoard(t)
	mem := proctest.Map(t, f)
	m := &at[board](mem, 0).m
	busy := func(what string) {
		t.Helper()
		err := Detach(mem)
		if !errors.Is(err, region.ErrBusy) || !strings.Contains(err.Error(), "0x0") {
			t.Errorf("%s, and Detach says: %v", what, err)
		}
	}
	if err := Detach(mem); err != nil {
		t.Errorf("nothing was ever done there: %v", err)
	}
	if err := Detach(nil); err != nil {
		t.Errorf("no memory: %v", err)
	}
	m.Lock()
	busy("held")
	if err := Detach(mem[64:]); err != nil {
		t.Errorf("held elsewhere: %v", err)
	}
	m.Unlock()

	p := startPeer(t, f)
	p.do("lock", "held")
	if err := Detach(mem); err != nil {
		t.Errorf("held by another process: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- m.LockContext(ctx) }()
	proctest.AwaitSleepers(t, os.Getpid(), 1)
	busy("a goroutine waits")
	cancel()
	<-ended
	p.do("unlock", "free")

	b.m.Lock() // through another mapping: the word is the same
	if !proc.Linked(m.addr()) {
		t.Fatal("not linked any more: Detach changed something although it refused")
	}
	busy("held through another mapping")
	b.m.Unlock()
	if err := Detach(mem); err != nil || proc.Linked(m.addr()) {
		t.Errorf("at rest: %v", err)
	}
}

func TestDetachRefusesWhileAnUnlinkedMutexIsHeld(t *testing.T) { // P-K1
	const n = robust.ListLimit + 2
	proctest.Watchdog(t, time.Minute, nil)
	_, mem := proctest.Memfd(t, n*mutexSize)
	table := mutexes(mem, n)
	for i := range table {
		table[i].Lock()
		table[i].Unlock()
	}
	last := &table[n-1]
	if last.Lock(); proc.Linked(last.addr()) {
		t.Errorf("%d mutexes are linked", n)
	}
	if err := Detach(mem); !errors.Is(err, region.ErrBusy) {
		t.Errorf("one beyond the kernel's limit is held: %v", err)
	}
	last.Unlock()
	if err := Detach(mem); err != nil {
		t.Errorf("at rest: %v", err)
	}
	f, _ := newBoard(t)
	p := proctest.Start(t, "unlinked holder", proctest.Files(f))
	if got := p.Line(); got != "true" {
		t.Errorf("without a robust list, held: ErrBusy is %s", got)
	}
	p.Expect("<nil>")
	p.WaitExit(0)
}

func TestRemappedMemoryIsLinkedAgain(t *testing.T) { // T17, P-K4
	proctest.NeedsRobustLists(t)
	for _, where := range []string{"the same address", "another address", "a stranger's memory"} {
		t.Run(where, func(t *testing.T) {
			f, b := newBoard(t)
			stranger, other := newBoard(t)
			p := proctest.Start(t, "moves", proctest.Files(f, stranger), proctest.Args(where))
			if where == "a stranger's memory" {
				p.Expect("ready")
				p.Kill()
				if other.m.word.Load()&robust.OwnerDied != 0 {
					t.Fatal("the kernel wrote to memory that was mapped after Detach")
				}
				return
			}
			p.Expect("locked")
			b.m.OnOwnerDeath(func(int) error { return nil })
			p.Kill()
			if !orphaned(&b.m) {
				t.Error("the kernel did not mark it: it was not linked again")
			}
			mustHold(t, &b.m)
			b.m.Unlock()
		})
	}
}

func TestRemappedMemoryHasNoRepairs(t *testing.T) {
	f, _ := newBoard(t)
	mem := proctest.Map(t, f)
	m := &at[board](mem, 0).m
	m.OnOwnerDeath(func(int) error { t.Error("a repair of before ran"); return nil })
	OnOwnerDeath(mem, func(*Mutex, int) error { t.Error("a repair of before ran"); return nil })
	if err := Detach(mem); err != nil {
		t.Fatal(err)
	}
	again, err := fixed(int(f.Fd()), len(mem), m.addr(), unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		t.Fatal(err)
	}
	m = &at[board](again, 0).m
	m.word.Store(robust.OwnerDied)
	if err := m.LockContext(context.Background()); !errors.Is(err, ErrOwnerDead) {
		t.Errorf("LockContext: %v", err)
	}
}

func TestASecondMappingKeepsWorking(t *testing.T) {
	proctest.NeedsRobustLists(t)
	f, b := newBoard(t)
	mem := proctest.Map(t, f)
	m := &at[board](mem, 0).m
	for range 3 {
		m.Lock() // linked here; the other mapping takes the fast path
		m.Unlock()
		b.m.Lock()
		b.m.Unlock()
	}
	if err := Detach(mem); err != nil {
		t.Fatal(err)
	}
	mustHold(t, &b.m)
	if !proc.Linked(b.m.addr()) {
		t.Error("held, and not linked at the only address that is left")
	}
	b.m.Unlock()
	m.Lock()
	ended := make(chan error)
	go func() { ended <- b.m.LockContext(context.Background()) }()
	proctest.Until(t, "the waiter at the other address", func() bool { return park.Waiters(&b.m.word) == 1 })
	proctest.AwaitSleepers(t, os.Getpid(), 1)
	m.Unlock()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	b.m.Unlock()
}

func TestReadOnlyMemoryIsAnError(t *testing.T) {
	for _, who := range []string{"a newcomer", "a former user", "a former user without links"} {
		for _, known := range []string{"known", "unknown"} { // to package region, as memory of shm is
			t.Run(who+", "+known, func(t *testing.T) {
				f, _ := newBoard(t)
				p := proctest.Start(t, "reads", proctest.Files(f), proctest.Args(who, known))
				p.Expect("fault")
				p.Expect("panic fault")
				p.Expect("panic fault")
				p.Expect("fault") // Init
				p.Expect("true")  // a reader of a seqlock may ask whether the writer is gone
				p.WaitExit(0)
			})
		}
	}
}
