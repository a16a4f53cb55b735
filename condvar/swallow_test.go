// What holds for signals among waiters of whom many give up all the time, and come
// again (T42, T44):
//   - while enough others wait, each signal brings somebody back with nil: it is not
//     swallowed by one whose context is done at the same moment, nor by one who joins;
//   - it does so at once, not by a look.
//
// Half of the waiters stay until they are signalled, so there is somebody for each
// signal at any moment; the other half wait for 0 to 1000 µs, again and again.
package condvar

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"interlock/internal/park"
	"interlock/internal/proctest"
	"interlock/internal/spin"
)

const patient = 20 // and as many restless ones

func init() {
	// restless: for each line received a round, until s.ready is not 0. Says
	// "waiting" when the patient ones wait, and "over" when nobody does any more.
	proctest.Register("restless", func(c *proctest.Child) {
		s := at(c.Memory(0))
		c.Say("here")
		for {
			c.Recv()
			var all sync.WaitGroup
			joined := 0 // guarded by the mutex, as is what Wait does first
			for range patient {
				all.Add(2)
				go func() {
					defer all.Done()
					s.m.Lock()
					joined++
					s.c.Wait(&s.m)
					s.passed.Add(1)
					s.m.Unlock()
				}()
				go func() {
					defer all.Done()
					for s.ready.Load() == 0 {
						ctx, cancel := context.WithTimeout(context.Background(), rand.N(time.Millisecond))
						s.m.Lock()
						if err := s.c.WaitContext(ctx, &s.m); err == nil {
							s.passed.Add(1)
						} else if err != context.DeadlineExceeded {
							c.Fatalf("WaitContext: %v", err)
						} else {
							s.inside.Add(1)
						}
						s.m.Unlock()
						cancel()
					}
				}()
			}
			c.Until("the patient to wait", func() bool {
				s.m.Lock()
				defer s.m.Unlock()
				return joined == patient
			})
			c.Say("waiting")
			over := make(chan bool)
			go func() { all.Wait(); close(over) }()
			c.Until("all to be back", func() bool {
				if s.ready.Load() != 0 {
					s.c.Broadcast() // and again: some were about to wait
				}
				select {
				case <-over:
					return true
				default:
					return false
				}
			})
			c.Say("over")
		}
	})
}

func TestCancellationsInABurstSwallowNoSignal(t *testing.T) { // T42, T44
	for _, storm := range proctest.Storms {
		t.Run(storm.Name, func(t *testing.T) {
			f, s := share(t)
			var all []*proctest.Proc
			for i := range 2 {
				all = append(all, child(t, f, "restless", "here", storm.Options(i)...))
			}
			proctest.Measure(t, func() string { return signalTheRestless(t, s, all) })
		})
	}
}

func signalTheRestless(t *testing.T, s *scene, all []*proctest.Proc) (complaint string) {
	const signals = patient - 1 // fewer than the patient of any one process
	var took proctest.Times
	for round := range proctest.Scaled(30, 8) {
		group := all[:1+round%2]
		s.ready.Store(0)
		s.passed.Store(0)
		for _, p := range group {
			p.Send("round")
		}
		for _, p := range group {
			p.Expect("waiting")
		}
		for range signals {
			spin.Pause(rand.Uint32N(2000))
			s.c.Signal()
		}
		w := proctest.Begin()
		proctest.Until(t, "as many to be back as signals were sent", func() bool { return s.passed.Load() >= signals })
		took = append(took, w.Took(proctest.Now()))
		s.ready.Store(1)
		for _, p := range group {
			p.Expect("over")
		}
	}
	t.Logf("%d rounds, %d waits given up; from the last signal to the last one back: %v (promised: %v)",
		len(took), s.inside.Load(), took, proctest.Promise)
	if proctest.TooLate(took.At(1)) {
		t.Errorf("a signal took %v", took.At(1))
	}
	if took.At(0.5) > park.LookEvery/2 {
		return fmt.Sprintf("the signals arrived after %v: by looks, perhaps", took)
	}
	return ""
}
