// What holds for a Sleeper, which its own process can rouse:
//   - a Rouse is never lost: it ends the sleep under way or the next one;
//   - a wake that comes with a rouse is reported as the wake (P-K17).
package futex

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

func TestARouseIsKeptForTheNextSleep(t *testing.T) {
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	var s Sleeper
	for range 3 {
		s.Rouse()
		s.Rouse() // two are as one
		if why, err := s.Sleep(word(mem, 0), 0); why != Roused || err != nil {
			t.Fatalf("Sleep after Rouse: %v, %v", why, err)
		}
		if why, err := s.Sleep(word(mem, 0), 1); why != Changed || err != nil {
			t.Fatalf("the next: %v, %v", why, err)
		}
	}
}

func pingPong(n int) (wrong int) {
	var s Sleeper
	var word, turn atomic.Uint32
	answer := make(chan Why)
	go func() {
		for seen := uint32(0); seen < uint32(n); {
			why, _ := s.Sleep(&word, 0)
			if now := turn.Load(); now != seen {
				seen = now
				answer <- why
			}
		}
	}()
	for range n {
		turn.Add(1)
		s.Rouse()
		if why := <-answer; why != Roused { // hangs if the rouse is lost
			wrong++
		}
	}
	return wrong
}

func TestNoRouseIsLost(t *testing.T) {
	proctest.Watchdog(t, hang, nil)
	if wrong := pingPong(20_000); wrong > 0 {
		t.Errorf("%d rouses were reported as something else", wrong)
	}
	noWaitv.Store(true)
	defer noWaitv.Store(false)
	if wrong := pingPong(50); wrong > 0 {
		t.Errorf("%d rouses were reported as something else without futex_waitv", wrong)
	}
}

func pin() {
	runtime.LockOSThread()
	var may, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		return
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if may.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	_ = unix.SchedSetaffinity(0, &one)
}

func TestAWakeBeatsARouse(t *testing.T) { // P-K17
	proctest.Watchdog(t, hang, nil)
	const rounds = 400
	_, mem := proctest.Memfd(t, 4096)
	w := word(mem, 0)
	sleepers, why := make(chan *Sleeper), make(chan Why)
	go func() {
		pin()
		for range rounds {
			s := new(Sleeper)
			sleepers <- s
			got, _ := s.Sleep(w, 0)
			why <- got
		}
	}()
	result := make(chan [2]int)
	go func() {
		pin()
		var woken, wrong int
		for i := range rounds {
			s, n := <-sleepers, 0
			for s.state.Load() != asleep || i%4 > 0 && proctest.Sleepers(os.Getpid()) == 0 {
				runtime.Gosched()
			}
			if i%2 == 0 {
				s.Rouse()
				n, _ = Wake(w, 1)
			} else {
				n, _ = Wake(w, 1)
				s.Rouse()
			}
			woken += n
			if got := <-why; (got == Woken) != (n == 1) {
				wrong++
			}
		}
		result <- [2]int{woken, wrong}
	}()
	got := <-result
	t.Logf("%d of %d rounds had a wake", got[0], rounds)
	if got[1] > 0 {
		t.Errorf("%d wakes were reported as something else, or the reverse", got[1])
	}
	if got[0] < rounds/4 {
		t.Errorf("only %d wakes in %d rounds: this proves nothing", got[0], rounds)
	}
}
