// Ownlock tries locks of its own with real processes, which are killed if asked for:
//
//	go run ./examples/ownlock check-then-set      a lock with the classic bug: updates are lost
//	go run ./examples/ownlock spin                a spin lock that is right
//	go run ./examples/ownlock -kill 40 spin       but nobody gives it back for the dead
//	go run ./examples/ownlock -kill 40 flock ours  the kernel does, of these
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"interlock/mutex"
	"interlock/stress/trial"
)

func main() {
	trial.Main(
		trial.Lock{Name: "check-then-set", Size: 4, Attach: func(mem []byte) (sync.Locker, error) { return over[checkThenSet](mem), nil }},
		trial.Lock{Name: "spin", Size: 4, Attach: func(mem []byte) (sync.Locker, error) { return over[spin](mem), nil }, State: spinState},
		trial.Lock{Name: "flock", Attach: newFlock},
		trial.Lock{Name: "ours", Size: mutexSize, Attach: newOurs},
	)
}

// checkThenSet looks whether it is free, and then takes it: two can look before either
// takes. Where one CPU is all there is that takes a preemption just there, which Gosched
// stands for.
type checkThenSet struct{ taken atomic.Uint32 }

func (l *checkThenSet) Lock() {
	for l.taken.Load() != 0 {
		runtime.Gosched()
	}
	runtime.Gosched()
	l.taken.Store(1)
}

func (l *checkThenSet) Unlock() { l.taken.Store(0) }

// spin looks and takes in one step. The word does not say who has it, so nobody can tell
// that the holder is dead.
type spin struct{ taken atomic.Uint32 }

func (l *spin) Lock() {
	for !l.taken.CompareAndSwap(0, 1) {
		runtime.Gosched()
	}
}

func (l *spin) Unlock() { l.taken.Store(0) }

func spinState(mem []byte) string {
	return fmt.Sprintf("taken is %d", over[spin](mem).taken.Load())
}

// flock is the kernel's lock of a file, here of this program's own. It belongs to an open
// file, which goroutines share: they need another lock among themselves.
type flock struct {
	mu   sync.Mutex
	file *os.File
}

func newFlock([]byte) (sync.Locker, error) {
	f, err := os.Open("/proc/self/exe")
	return &flock{file: f}, err
}

func (l *flock) Lock() {
	l.mu.Lock()
	l.call(syscall.LOCK_EX)
}

func (l *flock) Unlock() {
	l.call(syscall.LOCK_UN)
	l.mu.Unlock()
}

func (l *flock) call(how int) {
	for {
		if err := syscall.Flock(int(l.file.Fd()), how); err == nil {
			return
		} else if err != syscall.EINTR {
			panic(err)
		}
	}
}

// newOurs is this module's mutex. What the trial's counters need after a death the trial
// does itself, so there is nothing left to repair.
func newOurs(mem []byte) (sync.Locker, error) {
	mu := over[mutex.Mutex](mem)
	mu.OnOwnerDeath(func(pid int) error { return nil })
	return mu, nil
}
