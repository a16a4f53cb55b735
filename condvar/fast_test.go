// What holds for the paths that wait for nobody: they allocate nothing.
package condvar

import (
	"context"
	"testing"

	"interlock/internal/race"
)

func TestNothingIsAllocated(t *testing.T) {
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	_, s := share(t)
	done, cancel := context.WithCancel(context.Background())
	cancel()
	s.m.Lock()
	defer s.m.Unlock()
	calls := map[string]func(){
		"Signal with no waiter":                 s.c.Signal,
		"Broadcast with no waiter":              s.c.Broadcast,
		"WaitContext of a context that is done": func() { _ = s.c.WaitContext(done, &s.m) },
	}
	for name, call := range calls {
		if n := testing.AllocsPerRun(1000, call); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	// One that is counted, and dead: each signal asks the kernel.
	s.c.waiters.Store(1)
	for _, name := range []string{"Signal with no waiter", "Broadcast with no waiter"} {
		if n := testing.AllocsPerRun(1000, calls[name]); n != 0 {
			t.Errorf("%s, and one counted, allocates %v times", name, n)
		}
	}
	s.c.waiters.Store(0)
}
