package scenario

import (
	"fmt"
	"time"

	"interlock/stress/internal/arena"
)

// Now and then all stand still, but for what the supervisor has the C workers do: one
// sleeps until it is signalled, by Go and by C in turn. In the crowd the look of the
// header would make up for a signal whose wake was forgotten; here it is seen that a
// worker sleeps on beside what it waits for.

// crowded is how long the crowd has between two calm pieces.
const crowded = 250 * time.Millisecond

func (s *interopArea) conduct(st Stage) {
	d := direct(newConductor(st), nil)
	for i := 0; st.Sleep(crowded); i++ {
		fine := s.pause(st) && s.piece(d, i)
		st.Resume()
		if !fine {
			return
		}
		s.Calm.Add(1)
	}
}

// pause is Stage.Pause for lanes that wait for one another: they have to be roused.
func (s *interopArea) pause(st Stage) bool {
	parked := make(chan bool)
	go func() { parked <- st.Pause() }()
	for {
		select {
		case ok := <-parked:
			return ok
		case <-time.After(time.Millisecond):
			s.Made.Broadcast()
			s.Taken.Broadcast()
		}
	}
}

// piece has one C worker wait for a ticket, and the supervisor or another issue it.
func (s *interopArea) piece(d *director, i int) bool {
	var cs []int
	for slot := 1; slot < len(d.orders); slot += 2 {
		cs = append(cs, slot)
	}
	waiter, giver := cs[i/2%len(cs)], cs[(i/2+1)%len(cs)]
	s.Tickets.Store(0)
	if !d.sleeper(waiter, opWait) {
		return false
	}
	from := "Go"
	if i%2 == 0 && giver != waiter {
		from = "C"
		if !d.do(giver, opSignal) {
			return false
		}
	} else if !s.signal(d) {
		return false
	}
	return d.play(scene{
		what: fmt.Sprintf("interop, a signal from %s to C", from), waiters: []int{waiter}, wanted: 1, calm: true,
		free: func() bool { return s.Tickets.Load() > 0 && arena.Word(&s.Mu, 0)&(1<<30-1) == 0 },
	})
}

// signal is what opSignal is to a C worker, for the supervisor.
func (s *interopArea) signal(d *director) bool {
	if !d.until("the mutex of those who wait is not free", s.Mu.TryLock) {
		return false
	}
	s.Tickets.Add(1)
	s.Mu.Unlock()
	s.Made.Signal()
	return true
}
