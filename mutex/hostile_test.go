// What holds for bytes that no honest process wrote, and memory that is wrong:
//   - whatever the 40 bytes are, Owner, TryLock and LockContext with a deadline
//     return in bounded time, LockContext with nil or an error that is one of ours
//     (T81);
//   - also while another process scribbles over them at full speed (T80);
//   - an address that is not a multiple of 8 is a panic that says so (P-G8).
package mutex

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proc"
	"interlock/internal/proctest"
	"interlock/internal/robust"
)

// expected reports whether an error is one that LockContext documents.
func expected(err error) bool {
	return err == nil || slices.ContainsFunc([]error{context.DeadlineExceeded, ErrOwnerDead, ErrNotRecoverable, ErrPIDNamespace, ErrNotShared},
		func(is error) bool { return errors.Is(err, is) })
}

// probe does everything to m and fails the test for a surprise.
func probe(t *testing.T, m *Mutex) (err error) {
	t.Helper()
	bytes := describe(m)
	start := time.Now()
	m.Owner()
	if v := panicked(func() { err = m.LockContext(within(t, 2*time.Millisecond)) }); v != nil {
		t.Errorf("LockContext panics: %v; %s", v, bytes)
	} else if !expected(err) {
		t.Errorf("LockContext: %v; %s", err, bytes)
	}
	if v := panicked(func() {
		if err == nil || m.TryLock() {
			m.Unlock()
		}
	}); v != nil && !civil(v) {
		t.Errorf("TryLock or Unlock panics: %v; %s", v, bytes)
	}
	if d := time.Since(start); proctest.TooLate(d) {
		t.Errorf("it took %v; %s", d, bytes)
	}
	return err
}

// civil reports whether a panic is one that the documentation promises.
func civil(v any) bool {
	if err, ok := v.(error); ok {
		return expected(err) && !errors.As(err, new(runtime.Error))
	}
	return strings.HasPrefix(fmt.Sprint(v), "mutex: unlock of")
}

func fill(m *Mutex, word, owner, kind uint32, prev, next uint64) {
	m.word.Store(word)
	m.owner.Store(owner)
	m.kind.Store(kind)
	m.prev.Store(prev)
	m.next.Store(next)
}

func TestBytesChosenToHurt(t *testing.T) { // T81
	_, b := newBoard(t)
	proc.Start()
	me, mine := proc.Me(), proc.Next()
	const all = 1<<64 - 1
	pid := uint32(os.Getpid())
	words := []uint32{0, 1, pid, proc.TID(me), robust.TIDMask, robust.OwnerDied, robust.Waiters,
		robust.OwnerDied | robust.Waiters, 1<<32 - 1, robust.Waiters | 1, robust.Waiters | robust.TIDMask,
		robust.OwnerDied | proc.TID(me), robust.Waiters | proc.TID(me), 1<<23 - 1, 1<<23 | proc.TID(me)}
	prevs := []uint64{0, me, proc.Unlinked(me), all, 1 << 63, me &^ (1 << 63), 1<<61 | 1<<23 - 1, me ^ 1<<45, 1<<63 | 1<<23 | 1, uint64(pid)}
	nexts := []uint64{0, mine, all, 1 << 63, mine &^ (1 << 63), mine ^ 1, mine ^ 1<<40}
	owners := []uint32{0, inconsistent, notRecoverable, 1}
	n := 0
	for _, repair := range []func(int) error{nil, func(int) error { return nil }, func(int) error { return errRepair }} {
		b.m.OnOwnerDeath(repair)
		for _, prev := range prevs {
			for _, next := range nexts {
				word, owner := words[n%len(words)], owners[n/7%len(owners)]
				fill(&b.m, word, owner, []uint32{0, kindRobust}[n%2], prev, next)
				probe(t, &b.m)
				n++
			}
		}
		for _, word := range words {
			for _, prev := range prevs[:4] {
				fill(&b.m, word, 0, 0, prev, mine)
				probe(t, &b.m)
			}
		}
	}
	b.m.OnOwnerDeath(nil)
	fill(&b.m, 0, 0, 0, 0, 0)
}

func TestRandomBytes(t *testing.T) { // T81
	_, b := newBoard(t)
	seed := uint64(now())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	outcomes := map[string]int{}
	for i := range 2000 {
		kind := []uint32{0, kindRobust, r.Uint32()}[min(i%20, 2)%3]
		if i%20 > 2 {
			kind = 0
		}
		next := r.Uint64()
		if i%2 == 0 {
			next = next&^(1<<32-1) | proc.Next()&(1<<32-1) // our own PID namespace
		}
		fill(&b.m, r.Uint32()&[]uint32{1<<32 - 1, 1<<30 - 1, 1<<31 | 1<<15 - 1}[i%3], r.Uint32(), kind, r.Uint64(), next)
		outcomes[answer(probe(t, &b.m))]++
	}
	t.Logf("%v", outcomes)
	fill(&b.m, 0, 0, 0, 0, 0)
}

func init() {
	proctest.Register("vandal", func(c *proctest.Child) {
		b := at[board](c.Memory(0), 0)
		var stop atomic.Bool
		go func() {
			c.Recv()
			stop.Store(true)
		}()
		c.Say("at work")
		r := rand.New(rand.NewPCG(uint64(c.Int(0)), 2))
		tid := uint32(unix.Getppid())
		for n := 0; !stop.Load(); n++ {
			switch n % 8 {
			case 0:
				b.m.word.Store(r.Uint32())
			case 1:
				b.m.word.Store(tid | r.Uint32()&(3<<30))
			case 2:
				b.m.prev.Store(r.Uint64())
			case 3:
				b.m.next.Store(r.Uint64())
			case 4:
				b.m.owner.Store([]uint32{0, inconsistent, notRecoverable, r.Uint32()}[r.IntN(4)])
			case 5:
				b.m.kind.Store([]uint32{0, kindRobust, r.Uint32()}[min(r.IntN(20), 2)])
				b.m.kind.Store(0)
			default:
				b.m.word.Store(0)
				b.m.next.Store(0)
			}
		}
	})
}

func TestAVandalAtWork(t *testing.T) { // T80
	f, b := newBoard(t)
	b.m.OnOwnerDeath(func(int) error { return []error{nil, errRepair}[rand.N(2)] })
	seed := os.Getpid()
	t.Logf("seed %d", seed)
	p := proctest.Start(t, "vandal", proctest.Files(f), proctest.Args(itoa(seed)))
	p.Expect("at work")
	outcomes := map[string]int{}
	for start := time.Now(); time.Since(start) < 2*time.Second && !t.Failed(); {
		outcomes[answer(probe(t, &b.m))]++
	}
	t.Logf("%v", outcomes)
	p.Send("stop")
	p.WaitExit(0)
	fill(&b.m, 0, 0, 0, 0, 0)
	b.m.OnOwnerDeath(nil)
}

func TestAnUnalignedMutexPanics(t *testing.T) { // P-G8
	if runtime.GOARCH != "amd64" {
		t.Skip("unaligned atomics fault on " + runtime.GOARCH)
	}
	_, mem := proctest.Memfd(t, os.Getpagesize())
	for _, off := range []int{1, 4, 12} {
		m := at[Mutex](mem, off)
		v := panicked(func() { m.LockContext(context.Background()) })
		if s := fmt.Sprint(v); !strings.HasPrefix(s, "mutex: 0x") || !strings.HasSuffix(s, "is not a multiple of 8") {
			t.Errorf("offset %d: %v", off, v)
		}
	}
}
