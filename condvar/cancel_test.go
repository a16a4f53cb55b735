// What holds for a Wait that is cancelled:
//   - it swallows no signal: another waiter gets it, or it returns nil (T44);
//   - it returns ctx.Err() itself, holding the mutex.
package condvar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"interlock/internal/proctest"
	"interlock/internal/spin"
)

func TestACancelledWaiterSwallowsNoSignal(t *testing.T) { // T44
	_, s := share(t)
	proctest.Measure(t, func() string { return signalTheLeaving(t, s) })
	expectNobody(t, s)
}

func signalTheLeaving(t *testing.T, s *scene) (complaint string) {
	const rounds = 150
	var cancelled, slow int
	for round := range rounds {
		ctx, cancel := context.WithCancel(context.Background())
		leaving := waitHere(t, ctx, s)
		staying := waitHere(t, context.Background(), s)
		start := time.Now()
		if round%2 == 0 {
			go cancel()
			s.c.Signal()
		} else {
			cancel()
			spin.Pause(uint32(100 * round)) // its goroutine is on the way
			s.c.Signal()
		}
		err := <-leaving
		if err != nil && err != context.Canceled {
			t.Fatal(err)
		}
		if err == nil { // it took the signal, in good time
			s.c.Signal()
		} else {
			cancelled++
		}
		expectNil(t, staying)
		if time.Since(start) > 20*time.Millisecond {
			slow++
		}
		cancel()
	}
	t.Logf("cancelled in %d of %d rounds; %d took more than 20 ms", cancelled, rounds, slow)
	if slow > rounds/10 {
		return fmt.Sprintf("in %d of %d rounds the signal was lost, and only the look found it", slow, rounds)
	}
	return ""
}

func TestOfASignalAndACancellationThatMeetTheSignalIsNotLost(t *testing.T) { // T44
	_, s := share(t)
	took := 0
	for range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		leaving := waitHere(t, ctx, s)
		staying := waitHere(t, context.Background(), s)
		s.c.seq.Add(1) // E-C2
		cancel()
		if err := <-leaving; err == nil {
			took++
			s.c.Signal() // another one, for the other
		} else if err != context.Canceled {
			t.Fatal(err)
		}
		expectNil(t, staying) // or it hangs
	}
	t.Logf("the cancelled one took the signal in %d of 20 rounds", took)
	expectNobody(t, s)
}

func TestACancelledWaitReturnsTheContextsErrorHoldingTheMutex(t *testing.T) {
	_, s := share(t)
	for _, late := range []bool{false, true} {
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		if !late {
			cancel(errors.New("a cause"))
		}
		s.m.Lock()
		if late {
			go func() {
				s.m.Lock() // when the other has begun to wait
				cancel(errors.New("a cause"))
				s.m.Unlock()
			}()
		}
		if err := s.c.WaitContext(ctx, &s.m); err != context.Canceled {
			t.Errorf("%v, not ctx.Err() itself", err)
		}
		if pid, held := s.m.Owner(); pid != os.Getpid() || !held {
			t.Errorf("owner %d, held %v", pid, held)
		}
		s.m.Unlock()
		expectNobody(t, s)
	}
}
