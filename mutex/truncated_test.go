// What holds when a peer makes the file shorter that a mutex lies in (T69, P-K6):
//   - no call kills the process: it panics, or returns shm.ErrTruncated;
//   - who waits there is told within the time promised for any loss, and leaves
//     nothing behind: the memory can be detached;
//   - mutexes in other memory go on as ever.
package mutex

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"interlock/internal/park"
	"interlock/internal/proctest"
	"interlock/internal/region"
)

func init() {
	proctest.Register("holds what is truncated", func(c *proctest.Child) {
		mutexes(c.Memory(0), 1)[0].Lock()
		c.Say("holds")
		c.Recv()
	})
}

// truncatable is a mutex whose file the test can truncate, and one in other memory
// that must go on.
func truncatable(t *testing.T) (f *os.File, m, other *Mutex) {
	f, mem := proctest.Memfd(t, os.Getpagesize())
	_, sound := proctest.Memfd(t, os.Getpagesize())
	return f, &mutexes(proctest.Known(mem), 1)[0], &mutexes(sound, 1)[0]
}

func TestCallsOnTruncatedMemory(t *testing.T) { // T69, P-K6
	states := map[string]func(m *Mutex){
		"never used": func(*Mutex) {},
		"used":       func(m *Mutex) { m.Lock(); m.Unlock() },
		"held":       func(m *Mutex) { m.Lock() },
	}
	calls := map[string]func(m *Mutex) error{
		"Lock":        func(m *Mutex) error { m.Lock(); return nil },
		"TryLock":     func(m *Mutex) error { m.TryLock(); return nil },
		"LockContext": func(m *Mutex) error { return m.LockContext(context.Background()) },
		"Unlock":      func(m *Mutex) error { m.Unlock(); return nil },
		"Owner":       func(m *Mutex) error { m.Owner(); return nil },
	}
	for state, prepare := range states {
		for call, f := range calls {
			t.Run(state+", "+call, func(t *testing.T) {
				file, m, other := truncatable(t)
				prepare(m)
				proctest.Truncate(t, file, 0)
				for range 3 {
					proctest.Gone(t, call, func() error { return f(m) })
				}
				other.Lock()
				other.Unlock()
			})
		}
	}
}

func TestInitAndRegisteringARepairInTruncatedMemory(t *testing.T) { // T69
	file, m, _ := truncatable(t)
	m.OnOwnerDeath(func(int) error { return nil })
	proctest.Truncate(t, file, 0)
	m.OnOwnerDeath(nil) // touches nothing
	proctest.Gone(t, "Init", func() error {
		if err := m.Init(); err != nil {
			return errors.Join(region.ErrTruncated, err) // the kernel has noticed: EFAULT
		}
		return nil
	})
}

// The memory is known from the first lock, whoever mapped it.
func TestMemoryThatTheCallerMappedIsContained(t *testing.T) { // T69
	file, mem := proctest.Memfd(t, os.Getpagesize())
	m := &mutexes(mem, 1)[0]
	m.Lock()
	m.Unlock()
	proctest.Truncate(t, file, 0)
	proctest.Gone(t, "Lock", func() error { m.Lock(); return nil })
}

func init() {
	proctest.Register("waits without futex_waitv", func(c *proctest.Child) {
		m := &mutexes(c.Memory(0), 1)[0]
		c.Say("waits")
		err := m.LockContext(context.Background())
		c.Sayf("%v %v", errors.Is(err, region.ErrTruncated), err)
	})
}

func TestAWaiterWithoutWaitvWhoseMemoryIsTruncated(t *testing.T) { // T69, P-K6, P-K13
	file, _, _ := truncatable(t)
	p := proctest.Start(t, "holds what is truncated", proctest.Files(file))
	p.Expect("holds")
	w := proctest.Start(t, "waits without futex_waitv", proctest.Files(file), proctest.WithoutWaitv())
	w.Expect("waits")
	proctest.AwaitSleepers(t, w.Pid, 1)
	proctest.Truncate(t, file, 0)
	if line := w.Line(); !strings.HasPrefix(line, "true") {
		t.Errorf("it is told %q", line)
	}
	p.Send("leave")
}

func TestWaitersWhoseMemoryIsTruncated(t *testing.T) { // T69, P-K6
	const n = 50
	for _, name := range []string{"listening", "asleep"} {
		t.Run(name, func(t *testing.T) {
			file, m, other := truncatable(t)
			if name == "listening" {
				m.Lock()
			} else {
				p := proctest.Start(t, "holds what is truncated", proctest.Files(file))
				p.Expect("holds")
				defer p.Send("leave")
			}
			word := &m.word // to take the address later would be a touch, for a nil check
			other.Lock()
			ended := make(chan error, 2*n)
			for range n {
				go func() { ended <- m.LockContext(context.Background()) }()
				go func() { ended <- panicOf(m.Lock) }()
			}
			proctest.Until(t, "all wait", func() bool { return park.Waiters(word) == 2*n })
			begin := time.Now()
			proctest.Truncate(t, file, 0)
			for range 2 * n {
				if err := <-ended; !errors.Is(err, region.ErrTruncated) {
					t.Errorf("a waiter: %v", err)
				}
			}
			proctest.Within(t, "100 waiters", begin)
			if w := park.Waiters(word); w != 0 {
				t.Errorf("%d still wait", w)
			}
			other.Unlock()
			other.Lock()
			other.Unlock()
		})
	}
}

// panicOf is the error that f panics with.
func panicOf(f func()) (err error) {
	defer func() { err, _ = recover().(error) }()
	f()
	return nil
}
