// What holds for a Sleeper, which its own process can rouse:
//   - a Rouse is never lost: it ends the sleep under way or the next one;
//   - a wake that comes with a rouse is reported as the wake (P-K17);
//   - where futex_waitv is refused, it sleeps on a thread of its own, and a signal
//     to that thread which came too soon is sent again.
//
// All that holds with futex_waitv and without.
package futex

import (
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

// withWaitv does f with futex_waitv as the kernel has it, or as if it were refused.
func withWaitv(has bool, f func()) {
	old := !HasWaitv()
	noWaitv.Store(old || !has)
	defer noWaitv.Store(old)
	f()
}

// bothWays runs a test with futex_waitv and without.
func bothWays(t *testing.T, test func(t *testing.T)) {
	t.Run("waitv", func(t *testing.T) {
		needWaitv(t)
		test(t)
	})
	t.Run("refused", func(t *testing.T) { withWaitv(false, func() { test(t) }) })
}

func needWaitv(t *testing.T) {
	t.Helper()
	if !HasWaitv() {
		t.Skip("no futex_waitv here (P-K13)")
	}
}

func TestARouseIsKeptForTheNextSleep(t *testing.T) {
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	bothWays(t, func(t *testing.T) {
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
	})
}

// pingPong rouses a sleeper n times, each time after it answered the time before,
// and returns how many of its sleeps ended otherwise.
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
	bothWays(t, func(t *testing.T) {
		if wrong := pingPong(20_000); wrong > 0 {
			t.Errorf("%d rouses were reported as something else", wrong)
		}
	})
}

// isLocked reports whether the calling goroutine is locked to its thread.
func isLocked() bool {
	var buf [200]byte
	header, _, _ := strings.Cut(string(buf[:runtime.Stack(buf[:], false)]), "\n")
	return strings.Contains(header, "locked to thread")
}

func TestASleepKeepsNoThread(t *testing.T) { // P-K13
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	w := word(mem, 0)
	sleeps := func(t *testing.T, lockedBefore bool) {
		t.Helper()
		s := new(Sleeper)
		for _, val := range []uint32{0, 1} { // expires, changed
			if _, err := s.SleepFor(w, val, time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Sleep(nowhere(), 0); err == nil {
			t.Error("no error")
		}
		time.AfterFunc(time.Millisecond, s.Rouse)
		if why, err := s.Sleep(w, 0); why != Roused || err != nil {
			t.Errorf("%v, %v", why, err)
		}
		if isLocked() != lockedBefore {
			t.Errorf("locked to its thread before the sleeps: %v, after them: %v", lockedBefore, isLocked())
		}
		if s.tid.Load() != 0 {
			t.Error("awake, it names a thread that sleeps")
		}
	}
	bothWays(t, func(t *testing.T) {
		sleeps(t, false)
		runtime.LockOSThread()
		sleeps(t, true)
		runtime.UnlockOSThread()
		sleeps(t, false)
	})
}

// A signal that arrives between the look at the state and the system call.
func TestASignalThatCameTooSoonIsSentAgain(t *testing.T) { // P-G6, P-K13
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	s := new(Sleeper)
	ready, sent := make(chan bool), make(chan time.Time, 1)
	type end struct {
		errno unix.Errno
		at    time.Time
	}
	ended := make(chan end)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		s.lieDown()
		s.tid.Store(int32(unix.Gettid()))
		ready <- true
		for len(sent) == 0 { // not in a system call: the signal hits Go code
			runtime.Gosched()
		}
		until, _ := deadline(2 * time.Second)
		errno := sysWaitUntil(word(mem, 0), 0, until)
		s.tid.Store(0)
		ended <- end{errno, time.Now()}
	}()
	<-ready
	s.Rouse()
	sent <- time.Now()
	e := <-ended
	took := e.at.Sub(<-sent)
	t.Logf("%v after %v", e.errno, took)
	if e.errno != unix.EINTR || took > time.Second {
		t.Errorf("the wait ended with %v, %v after the rouse", e.errno, took)
	}
}

// pin puts the calling goroutine on a thread of its own, which ends with it, and
// that on the first CPU.
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
	bothWays(t, aWakeBeatsARouse)
}

// aWakeBeatsARouse sends both from one thread to a sleeper on the same CPU, so
// that both have arrived when the sleeper runs.
func aWakeBeatsARouse(t *testing.T) {
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
