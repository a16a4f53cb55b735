// What holds when the mutex's owner dies while others Wait (T47, P-C4):
//   - unrepaired, the orphan comes out of WaitContext as an error, and out of Wait as
//     a panic, held by the caller either way; its Unlock leaves it an orphan;
//   - a repair makes it whole, and Wait returns as usual;
//   - condemned, it is not held.
package condvar

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"interlock/internal/park"
	"interlock/internal/proctest"
	"interlock/mutex"
)

func orphan(t *testing.T, f *os.File) (pid int) {
	t.Helper()
	p := child(t, f, "holder", "holds")
	p.Send("signal")
	p.Expect("signalled")
	p.Kill()
	return p.Pid
}

func TestAnOrphanComesOutOfWaitContextHeld(t *testing.T) { // T47, P-C4
	f, s := share(t)
	asleep := make(chan error)
	go func() {
		s.m.Lock()
		err := s.c.WaitContext(context.Background(), &s.m)
		if pid, held := s.m.Owner(); !held || pid != os.Getpid() {
			t.Errorf("owner %d, held %v", pid, held)
		}
		if s.m.TryLock() {
			t.Error("TryLock takes what is held")
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("Wait with an unrepaired orphan goes on")
				}
			}()
			s.c.Wait(&s.m)
		}()
		s.m.Unlock() // leaves the orphan
		asleep <- err
	}()
	proctest.AwaitSleepers(t, os.Getpid(), 1)
	dead := orphan(t, f)
	start := time.Now()
	err := <-asleep
	proctest.Within(t, "from the owner's death to ErrOwnerDead", start)
	var e *mutex.Error
	if !errors.Is(err, mutex.ErrOwnerDead) || !errors.As(err, &e) || e.PID != dead {
		t.Errorf("WaitContext: %v, of process %d", err, dead)
	}
	if err := s.m.LockContext(context.Background()); !errors.Is(err, mutex.ErrOwnerDead) {
		t.Errorf("LockContext after its Unlock: %v", err)
	}
	s.m.OnOwnerDeath(func(int) error { return nil })
	s.m.Lock()
	s.m.Unlock()
	expectNobody(t, s)
}

func TestACancellationAndAnOrphanAreBothReported(t *testing.T) { // T47
	f, s := share(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := waitHere(t, ctx, s)
	p := child(t, f, "holder", "holds")
	cancel()
	proctest.Until(t, "it to lock again", func() bool { return s.c.waiters.Load() == 0 })
	p.Kill()
	if err := <-ended; !errors.Is(err, mutex.ErrOwnerDead) || !errors.Is(err, context.Canceled) {
		t.Errorf("WaitContext: %v", err)
	}
}

func TestAnOrphanPanicsOutOfWaitHeld(t *testing.T) { // T47, P-C4
	f, s := share(t)
	panicked := make(chan any)
	go func() {
		defer func() { panicked <- recover() }()
		s.m.Lock()
		defer s.m.Unlock() // panics in its turn if Wait does not hold
		defer func() {
			if pid, held := s.m.Owner(); !held || pid != os.Getpid() {
				t.Errorf("owner %d, held %v", pid, held)
			}
		}()
		s.c.Wait(&s.m)
	}()
	proctest.AwaitSleepers(t, os.Getpid(), 1)
	orphan(t, f)
	r := <-panicked
	if err, ok := r.(error); !ok || !errors.Is(err, mutex.ErrOwnerDead) {
		t.Fatalf("Wait panicked with %v", r)
	}
	if err := s.m.LockContext(context.Background()); !errors.Is(err, mutex.ErrOwnerDead) {
		t.Errorf("LockContext after the deferred Unlock: %v", err)
	}
	expectNobody(t, s)
}

func TestARepairMakesWaitReturnAsUsual(t *testing.T) { // T47
	f, s := share(t)
	repaired := make(chan int, 1)
	s.m.OnOwnerDeath(func(pid int) error { repaired <- pid; return nil })
	ended := waitHere(t, context.Background(), s)
	dead := orphan(t, f)
	expectNil(t, ended)
	if pid := <-repaired; pid != dead {
		t.Errorf("repaired after %d, not %d", pid, dead)
	}
	ended = waitHere(t, context.Background(), s)
	s.c.Signal()
	expectNil(t, ended)
	expectNobody(t, s)
}

func TestAFailedRepairComesOutOfWaitHeld(t *testing.T) { // T47
	f, s := share(t)
	failure := errors.New("cannot repair it")
	s.m.OnOwnerDeath(func(int) error { return failure })
	ended := waitHere(t, context.Background(), s) // its Unlock would panic if it did not hold
	orphan(t, f)
	if err := <-ended; !errors.Is(err, mutex.ErrOwnerDead) || !errors.Is(err, failure) {
		t.Errorf("WaitContext: %v", err)
	}
	if err := s.m.LockContext(context.Background()); !errors.Is(err, mutex.ErrOwnerDead) {
		t.Errorf("LockContext: %v", err)
	}
}

func TestACondemnedMutexIsNotHeldAfterWait(t *testing.T) { // T47
	f, s := share(t)
	s.m.OnOwnerDeath(func(int) error { return mutex.ErrNotRecoverable })
	const n = 3
	ended := make(chan error)
	for i := range n {
		go func() {
			s.m.Lock()
			ended <- s.c.WaitContext(context.Background(), &s.m)
		}()
		proctest.Until(t, "it to wait", func() bool { return park.Waiters(&s.c.seq) == i+1 })
	}
	orphan(t, f)
	s.c.Broadcast()
	for range n {
		if err := <-ended; !errors.Is(err, mutex.ErrNotRecoverable) {
			t.Errorf("WaitContext: %v", err)
		}
	}
	if pid, held := s.m.Owner(); held {
		t.Errorf("process %d holds it", pid)
	}
	expectNobody(t, s)
}
