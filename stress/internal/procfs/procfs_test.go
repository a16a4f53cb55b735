package procfs

import (
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"interlock/futex"
	"interlock/stress/internal/arena"
)

func TestAsleep(t *testing.T) {
	if Asleep(os.Getpid()) {
		t.Error("this process says that it sleeps")
	}
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skip("no sleep command: ", err)
	}
	for limit := time.Now().Add(time.Minute); !Asleep(cmd.Process.Pid); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("sleep does not sleep")
		}
	}
	threads := Threads(cmd.Process.Pid)
	if len(threads) != 1 || threads[0].State != "S" {
		t.Errorf("%+v", threads)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if Asleep(cmd.Process.Pid) || len(Threads(cmd.Process.Pid)) != 0 {
		t.Error("a process that is gone sleeps")
	}
}

// A thread that sleeps on a word is found by the word's address, and by no
// other, whichever call it sleeps in.
func TestSleepers(t *testing.T) {
	s, word := new(futex.Sleeper), new(atomic.Uint32)
	addr, other := arena.Address(word), arena.Address(new(atomic.Uint32))
	before := Switches(os.Getpid())
	done := make(chan struct{})
	for _, sleep := range []func(){
		func() { _ = futex.Wait(word, 0) },
		func() { _, _ = s.Sleep(word, 0) },
	} {
		go func() {
			sleep()
			done <- struct{}{}
		}()
	}
	for limit := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		n, ok := Sleepers(os.Getpid(), addr)
		if !ok {
			t.Skip("/proc does not show it here")
		}
		if n == 2 {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("%d sleepers, want 2", n)
		}
	}
	if n, _ := Sleepers(os.Getpid(), other); n != 0 {
		t.Errorf("%d sleepers on a word that nobody waits for", n)
	}
	for range 2 {
		_, _ = futex.Wake(word, 2)
		<-done
	}
	if after := Switches(os.Getpid()); after <= before {
		t.Errorf("switches: %d before two threads slept, %d after", before, after)
	}
	if n := Count(os.Getpid()); n < 2 || n != len(Threads(os.Getpid())) {
		t.Errorf("%d threads", n)
	}
}
