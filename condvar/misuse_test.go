// What holds for a Cond in the wrong hands, or in the wrong place:
//   - Wait without the mutex panics and changes nothing (T50);
//   - hostile bytes, and wakes that nobody meant, hang nobody (T08, T81);
//   - read-only memory is a panic, not a fault (T57);
//   - its memory cannot be given up while somebody waits (T78, P-K4).
package condvar

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"interlock/futex"
	"interlock/internal/proctest"
	"interlock/internal/region"
)

func TestWaitWithoutTheMutexPanics(t *testing.T) { // T50
	f, s := share(t)
	expectPanic := func(what string) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", what)
			}
			expectNobody(t, s)
		}()
		s.c.Wait(&s.m)
	}
	expectPanic("never locked")
	s.m.Lock()
	s.m.Unlock()
	expectPanic("unlocked again")
	p := proctest.Start(t, "holder", proctest.Files(f))
	p.Expect("holds")
	expectPanic("held by another process")
	if pid, held := s.m.Owner(); pid != p.Pid || !held {
		t.Errorf("owner %d, held %v", pid, held)
	}
	p.Send("unlock")
	p.WaitExit(0)
}

func TestHostileBytesHangNobody(t *testing.T) { // T81
	_, s := share(t)
	for _, n := range []uint32{0, math.MaxUint32} {
		one := waitHere(t, context.Background(), s)
		s.c.waiters.Store(n) // a lie
		start := time.Now()
		s.c.Signal()
		expectNil(t, one)
		proctest.Within(t, fmt.Sprintf("with %d waiters counted", n), start)
		if left := s.c.waiters.Load(); n == 0 && left != 0 {
			t.Errorf("%d waiters are counted", left)
		}
		s.c.waiters.Store(0)
	}
	one := waitHere(t, context.Background(), s)
	s.c.seq.Store(0xdeadbeef)
	start := time.Now()
	expectNil(t, one)
	proctest.Within(t, "after the sequence jumped", start)
}

func TestAStormOfWakesHarmsNobody(t *testing.T) { // T08
	f, s := share(t)
	p := child(t, f, "crowd", "here", proctest.Args("4"))
	here := waitHere(t, context.Background(), s)
	proctest.Until(t, "all to wait", func() bool { return s.c.waiters.Load() == 5 })
	for range 1000 {
		if _, err := futex.Wake(&s.c.seq, math.MaxInt); err != nil {
			t.Fatal(err)
		}
	}
	s.m.Lock()
	s.ready.Store(1)
	s.m.Unlock()
	s.c.Broadcast()
	p.Expect("passed")
	expectNil(t, here)
	if s.violated.Load() > 0 {
		t.Error("two held the mutex at once")
	}
	expectNobody(t, s)
}

func TestReadOnlyMemoryPanicsInsteadOfFaulting(t *testing.T) { // T57
	_, mem := proctest.Memfd(t, 8192)
	s := at(mem)
	region.AddReadOnly(s.c.addr(), s.c.addr()+1) // the mutex beside it can be written
	defer region.Detach(s.c.addr(), s.c.addr()+1)
	for name, call := range map[string]func(){
		"Signal": s.c.Signal, "Broadcast": s.c.Broadcast,
		"Wait": func() { s.m.Lock(); defer s.m.Unlock(); s.c.Wait(&s.m) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}

func TestDetachIsRefusedWhileSomebodyWaits(t *testing.T) { // T78, P-K4
	_, s := share(t)
	one := waitHere(t, context.Background(), s)
	if err := region.Detach(s.c.addr(), s.c.addr()+16); !errors.Is(err, region.ErrBusy) {
		t.Errorf("Detach: %v", err)
	}
	s.c.Signal()
	expectNil(t, one)
}
