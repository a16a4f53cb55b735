// What holds between this mutex and C's:
//   - the layout is pthread_mutex_t's, by the C compiler's own word;
//   - Init writes what pthread_mutex_init writes, any number of times, and never
//     over another kind of mutex, which is ErrNotShared;
//   - Go and C exclude each other;
//   - a C holder's death is an orphan in Go, a Go holder's death EOWNERDEAD in C,
//     and each can repair what the other left;
//   - condemned by one it is condemned for the other.
//
// The C side is testdata/peer.c, linked with the machine's own C library.
package mutex

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"interlock/internal/proctest"
	"interlock/internal/robust"
)

// cPeer compiles testdata/peer.c and starts it.
func cPeer(t *testing.T, f *os.File) peer {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skipf("no C peer: %v", err)
	}
	bin := filepath.Join(t.TempDir(), "peer")
	out, err := exec.Command(cc, "-O2", "-Wall", "-Werror", "-pthread", "-o", bin, "testdata/peer.c").CombinedOutput()
	if err != nil {
		t.Skipf("no C peer: %v\n%s", err, out)
	}
	return peer{proctest.StartProgram(t, bin, proctest.Files(f))}
}

func TestTheLayoutIsPthreads(t *testing.T) {
	f, _ := newBoard(t)
	cPeer(t, f).do("layout", fmt.Sprint(offsets()))
}

func TestInit(t *testing.T) {
	_, b := newBoard(t)
	for range 2 {
		if err := b.m.Init(); err != nil || b.m.kind.Load() != 0x90 {
			t.Fatalf("Init: %v; %v", err, b)
		}
	}
	b.m.Lock()
	word, prev := b.m.word.Load(), b.m.prev.Load()
	if err := b.m.Init(); err != nil || b.m.word.Load() != word || b.m.prev.Load() != prev {
		t.Errorf("Init of a held one: %v; %v", err, b)
	}
	b.m.Unlock()
}

func TestAnotherKindOfMutexIsRefused(t *testing.T) {
	_, b := newBoard(t)
	for kind := uint32(0); kind < 0x800; kind++ {
		ok := kind == 0 || kind&^0x303 == 0x90
		b.m.kind.Store(kind)
		err := lockInTime(t, &b.m)
		if ok && err != nil || !ok && !errors.Is(err, ErrNotShared) {
			t.Errorf("kind %#x: LockContext: %v", kind, err)
		}
		if err == nil {
			b.m.Unlock()
		}
		err = b.m.Init()
		if ok && err != nil || !ok && !errors.Is(err, ErrNotShared) {
			t.Errorf("kind %#x: Init: %v", kind, err)
		}
		if got := b.m.kind.Load(); got != kind && kind != 0 {
			t.Errorf("Init changed kind %#x to %#x", kind, got)
		}
		b.m = Mutex{} // our own identity would let the fast path in
	}
}

func TestWhatPthreadMutexInitWrites(t *testing.T) {
	f, b := newBoard(t)
	c := cPeer(t, f)
	for _, x := range []struct {
		robust, shared, kind int
		want                 string
	}{{1, 1, 0, "held"}, {1, 1, 1, "held"}, {1, 1, 2, "held"}, {0, 1, 0, "not shared"}, {0, 0, 1, "not shared"}, {1, 0, 0, "held"}} {
		// The last one because glibc makes every robust mutex a shared one.
		c.do(fmt.Sprintf("init %d %d %d", x.robust, x.shared, x.kind), "ok")
		err := lockInTime(t, &b.m)
		if got := answer(err); got != x.want {
			t.Errorf("kind %#x: %s, not %s", b.m.kind.Load(), got, x.want)
		}
		if err == nil {
			c.do("try", "busy")
			b.m.Unlock()
			c.do("try", "held", "unlock", "free")
		}
	}
	// A plain private mutex that is not robust is all zero bytes, as is a fresh one
	// of ours: nobody can tell.
	c.do("init 0 0 -1", "ok")
	if k := b.m.kind.Load(); k != 0 {
		t.Errorf("kind %#x", k)
	}
	c.do("init 1 1 -1", "ok")
	if k := b.m.kind.Load(); k != kindRobust {
		t.Errorf("pthread_mutex_init writes kind %#x, Init writes %#x", k, kindRobust)
	}
}

func TestGoAndCExcludeEachOther(t *testing.T) { // T10
	const rounds = 50000
	f, b := newBoard(t)
	c := []peer{cPeer(t, f), cPeer(t, f)}
	if err := b.m.Init(); err != nil {
		t.Fatal(err)
	}
	g := proctest.Start(t, "crowd", proctest.Files(f), proctest.Args("2", itoa(rounds)))
	g.Expect("ready")
	g.Send("go")
	for _, p := range c {
		p.Send(fmt.Sprintf("crowd %d", rounds))
	}
	for _, p := range c {
		p.Expect("ok")
	}
	g.WaitExit(0)
	if want := uint64(4 * rounds); b.count != want || b.m.word.Load() != 0 {
		t.Errorf("the counter is %d after %d increments; %v", b.count, want, b)
	}
}

func TestEachRepairsWhatTheOtherLeft(t *testing.T) { // T22
	proctest.NeedsRobustLists(t)
	f, b := newBoard(t)
	c, victim := cPeer(t, f), cPeer(t, f)
	if err := b.m.Init(); err != nil {
		t.Fatal(err)
	}
	waiter := startPeer(t, f)
	waiter.do("repair ok", "ok")
	victim.do("lock", "held")
	waiter.asleep(t, "lock", 1)
	killed := now()
	if pid, held := b.m.Owner(); pid != victim.Pid || !held {
		t.Errorf("C process %d holds it, Owner says %d, %v", victim.Pid, pid, held)
	}
	victim.Kill()
	recovered(t, b, waiter, killed)
	waiter.do("unlock", "free")

	holder := startPeer(t, f)
	holder.do("lock", "held")
	c.asleep(t, "lock", 1)
	holder.Kill()
	c.Expect("dead")
	waiter.do("lockctx 20ms", "deadline")
	c.do("consistent", "ok", "unlock", "free")
	waiter.do("lock", "held", "unlock", "free")
	if b.repair != 1 {
		t.Errorf("%d repairs in Go; the second was C's", b.repair)
	}
}

func TestADeadCHolderIsToldToThoseWithoutARepair(t *testing.T) {
	f, b := newBoard(t)
	victim := cPeer(t, f)
	if err := b.m.Init(); err != nil {
		t.Fatal(err)
	}
	victim.do("lock", "held")
	victim.Kill()
	isOwnerDead(t, lockInTime(t, &b.m), victim.Pid)
	cPeer(t, f).do("lock", "dead", "consistent", "ok", "unlock", "free")
}

func TestSleepersOfBothKindsWakeEachOther(t *testing.T) {
	f, b := newBoard(t)
	c, g := cPeer(t, f), startPeer(t, f)
	if err := b.m.Init(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		mustHold(t, &b.m)
		c.asleep(t, "lock", 1)
		g.asleep(t, "lock", 1)
		// Who has it lets go at once: C is first, but where it is slow to come a look may
		// bring the other before it.
		c.Send("unlock")
		g.Send("unlock")
		freed := now()
		b.m.Unlock()
		for _, p := range []peer{c, g} {
			p.Expect("held")
			p.Expect("free")
		}
		if d := since(freed); proctest.TooLate(d) {
			t.Errorf("it took %v", d)
		}
	}
}

func TestCondemnedByEither(t *testing.T) { // T22, P-M7
	proctest.NeedsRobustLists(t)
	t.Run("Go", func(t *testing.T) {
		f, b := newBoard(t)
		c := []peer{cPeer(t, f), cPeer(t, f)}
		if err := b.m.Init(); err != nil {
			t.Fatal(err)
		}
		bequeath(t, f)
		judge := startPeer(t, f)
		judge.do("repair ask", "ok")
		judge.Send("lockctx")
		judge.Line()
		c[0].asleep(t, "lock", 1)
		judge.do("condemn", "condemned")
		c[0].Expect("condemned")
		c[1].do("lock", "condemned")
		judge.do("lockctx", "condemned")
		// glibc's trylock says so too, and then keeps the word (seen in 2.36: it
		// compares with what it wrote, not with what it found).
		asleep := startPeer(t, f)
		c[1].do("try", "condemned")
		t.Logf("after C's trylock: %v", b)
		asleep.do("lockctx 10s", "condemned")
		judge.do("lockctx 10s", "condemned", "try", "panic condemned")
	})
	t.Run("C", func(t *testing.T) {
		f, b := newBoard(t)
		c, waiter := cPeer(t, f), startPeer(t, f)
		if err := b.m.Init(); err != nil {
			t.Fatal(err)
		}
		mustHold(t, &b.m) // known to us: the fast path must not be fooled
		b.m.Unlock()
		bequeath(t, f)
		c.do("lock", "dead")
		waiter.asleep(t, "lockctx", 1)
		c.do("unlock", "free") // without pthread_mutex_consistent
		waiter.Expect("condemned")
		if err := lockInTime(t, &b.m); !errors.Is(err, ErrNotRecoverable) {
			t.Errorf("LockContext: %v", err)
		}
		if v := b.m.word.Load(); v&robust.TIDMask != 0 {
			t.Errorf("it is held: %v", b)
		}
	})
}

func TestPthreadMutexTimedlock(t *testing.T) {
	proctest.NeedsRobustLists(t)
	f, b := newBoard(t)
	c := cPeer(t, f)
	if err := b.m.Init(); err != nil {
		t.Fatal(err)
	}
	mustHold(t, &b.m)
	c.do("timed 0", "deadline", "timed 30", "deadline")
	c.asleep(t, "timed 60000", 1)
	b.m.Unlock()
	c.Expect("held")
	c.do("unlock", "free", "timed 0", "held", "unlock", "free")

	// A wait in C that timed out has left WAITERS behind: one wake for nobody.
	mustHold(t, &b.m)
	c.do("timed 1", "deadline")
	b.m.Unlock()
	bequeath(t, f)
	c.do("timed 60000", "dead", "consistent", "ok", "unlock", "free")
}

func TestAStoppedCHolderIsNotDead(t *testing.T) { // P-K8
	f, b := newBoard(t)
	c := cPeer(t, f)
	if err := b.m.Init(); err != nil {
		t.Fatal(err)
	}
	c.do("lock", "held")
	c.Stop()
	waiter := startPeer(t, f)
	waiter.do("repair ok", "ok", "lockctx 200ms", "deadline")
	c.Cont()
	c.do("unlock", "free")
	waiter.do("lock", "held", "unlock", "free")
}
