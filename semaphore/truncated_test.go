// What holds when a peer makes the file shorter that a semaphore lies in (T69, P-K6):
//   - no call kills the process: it panics, or returns shm.ErrTruncated;
//   - who waits there is told in time, and leaves nothing behind.
package semaphore

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"interlock/internal/park"
	"interlock/internal/proctest"
	"interlock/internal/region"
)

func TestCallsOnTruncatedMemory(t *testing.T) { // T69, P-K6
	for call, f := range map[string]func(s *Semaphore) error{
		"Acquire":    func(s *Semaphore) error { return s.Acquire(context.Background()) },
		"TryAcquire": func(s *Semaphore) error { s.TryAcquire(); return nil },
		"Release":    (*Semaphore).Release,
		"Value":      func(s *Semaphore) error { s.Value(); return nil },
		"Init":       func(s *Semaphore) error { s.Init(1); return nil },
	} {
		t.Run(call, func(t *testing.T) {
			file, mem := proctest.Memfd(t, os.Getpagesize())
			s := sem(proctest.Known(mem))
			s.Init(1)
			proctest.Truncate(t, file, 0)
			for range 3 {
				proctest.Gone(t, call, func() error { return f(s) })
			}
		})
	}
}

func TestWaitersWhoseMemoryIsTruncated(t *testing.T) { // T69, P-K6
	const n = 50
	for name, known := range map[string]bool{"known": true, "only from waiting": false} {
		t.Run(name, func(t *testing.T) {
			file, mem := proctest.Memfd(t, os.Getpagesize())
			if known {
				proctest.Known(mem)
			}
			s := sem(mem)
			word, ended := s.futex(), make(chan error, n)
			for range n {
				go func() { ended <- s.Acquire(context.Background()) }()
			}
			proctest.Until(t, "all wait", func() bool { return park.Waiters(word) == n })
			begin := time.Now()
			proctest.Truncate(t, file, 0)
			for range n {
				if err := <-ended; !errors.Is(err, region.ErrTruncated) {
					t.Errorf("Acquire: %v", err)
				}
			}
			proctest.Within(t, "all waiters", begin)
		})
	}
}
