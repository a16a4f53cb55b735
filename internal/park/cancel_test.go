package park

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"interlock/futex"
	"interlock/internal/proctest"
)

// A wake, and a cancellation before the sleeper has run: the wake must be told,
// and the next Sleep must not outlast the context.
func TestAWakeAndACancellationAtOnce(t *testing.T) { // T15, P-K17
	proctest.Watchdog(t, time.Minute, nil)
	_, mem := proctest.Memfd(t, os.Getpagesize())
	word := at(mem, 0)
	wakes := 0
	for range 300 {
		ctx, cancel := context.WithCancel(context.Background())
		type result struct {
			wakes int
			err   error
		}
		end := make(chan result, 1)
		go func() {
			w := EnterAcquire(word, quiet)
			var r result
			for r.err == nil {
				var woken bool
				if woken, r.err = w.Sleep(ctx, 0); woken {
					r.wakes++
				}
			}
			w.Leave()
			end <- r
		}()
		asleep(t, 1)
		n, err := futex.Wake(word, 1)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		select {
		case r := <-end:
			if !errors.Is(r.err, context.Canceled) || r.wakes != n {
				t.Fatalf("%d wakes sent, %d told, %v", n, r.wakes, r.err)
			}
			wakes += n
		case <-time.After(proctest.Patience):
			t.Fatalf("it sleeps %v after its cancellation", proctest.Patience)
		}
	}
	t.Logf("%d wakes", wakes)
}

func TestSleepWithAContextThatIsDone(t *testing.T) {
	_, mem := proctest.Memfd(t, os.Getpagesize())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	w := EnterAcquire(at(mem, 0), quiet)
	defer w.Leave()
	if woken, err := w.Sleep(ctx, 0); woken || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", woken, err)
	}
	if woken, err := w.Sleep(context.Background(), 1); woken || err != nil {
		t.Errorf("with another value than the word's: %v, %v", woken, err)
	}
}
