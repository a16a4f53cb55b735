// What holds when a peer makes the file shorter that a Cond lies in (T69, P-K6):
//   - no call kills the process: it panics, or returns shm.ErrTruncated;
//   - who waits there is told in time, and holds the mutex again if that lies
//     elsewhere; it leaves nothing behind.
package condvar

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"interlock/internal/park"
	"interlock/internal/proctest"
	"interlock/internal/region"
	"interlock/mutex"
)

// apart is a Cond whose file the test can truncate, and a mutex that stays.
func apart(t *testing.T) (f *os.File, c *Cond, m *mutex.Mutex) {
	f, mem := proctest.Memfd(t, 8192)
	_, sound := proctest.Memfd(t, 8192)
	return f, &at(proctest.Known(mem)).c, &at(sound).m
}

func TestCallsOnTruncatedMemory(t *testing.T) { // T69, P-K6
	for call, f := range map[string]func(c *Cond, m *mutex.Mutex) error{
		"Signal":      func(c *Cond, m *mutex.Mutex) error { c.Signal(); return nil },
		"Broadcast":   func(c *Cond, m *mutex.Mutex) error { c.Broadcast(); return nil },
		"Wait":        func(c *Cond, m *mutex.Mutex) error { c.Wait(m); return nil },
		"WaitContext": func(c *Cond, m *mutex.Mutex) error { return c.WaitContext(context.Background(), m) },
	} {
		t.Run(call, func(t *testing.T) {
			file, c, m := apart(t)
			proctest.Truncate(t, file, 0)
			for range 3 {
				m.Lock()
				proctest.Gone(t, call, func() error { return f(c, m) })
				m.Unlock() // still held, whatever the call did
			}
		})
	}
}

func TestWaitersWhoseMemoryIsTruncated(t *testing.T) { // T69, P-K6
	const n = 50
	file, c, m := apart(t)
	word, ended := &c.seq, make(chan error, n)
	for range n {
		go func() {
			m.Lock()
			err := c.WaitContext(context.Background(), m)
			m.Unlock()
			ended <- err
		}()
	}
	proctest.Until(t, "all wait", func() bool { return park.Waiters(word) == n })
	m.Lock() // all of them have let go of it
	m.Unlock()
	begin := time.Now()
	proctest.Truncate(t, file, 0)
	for range n {
		if err := <-ended; !errors.Is(err, region.ErrTruncated) {
			t.Errorf("WaitContext: %v", err)
		}
	}
	proctest.Within(t, "all waiters", begin)
}

func TestWaitersWhoseMutexIsTruncated(t *testing.T) { // T69, P-K6
	file, m := proctest.Memfd(t, 8192)
	_, sound := proctest.Memfd(t, 8192)
	s, c := at(proctest.Known(m)), &at(sound).c
	ended := make(chan error, 1)
	go func() {
		s.m.Lock()
		ended <- c.WaitContext(context.Background(), &s.m)
	}()
	proctest.Until(t, "the waiter to wait", func() bool { return c.waiters.Load() == 1 })
	s.m.Lock()
	s.m.Unlock()
	proctest.Truncate(t, file, 0)
	c.Signal()
	if err := <-ended; !errors.Is(err, region.ErrTruncated) {
		t.Errorf("WaitContext: %v", err)
	}
	proctest.Until(t, "the waiter to be gone", func() bool { return c.waiters.Load() == 0 })
}
