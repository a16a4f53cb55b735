// What holds between a Semaphore and glibc's sem_t, both ways:
//   - the same 32 bytes: what sem_init writes is what Init writes;
//   - values, permits, wakes and overflow are understood by the other side;
//   - either kills or cancels its waiters without harm to the other's.
package semaphore

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"interlock/internal/proctest"
)

// A peer is a program in C that does as it is told, a line at a time.
type peer struct {
	t *testing.T
	*proctest.Proc
}

// cPeer builds testdata/sem.c and starts it, or skips the test.
func cPeer(t *testing.T, opts ...proctest.Option) peer {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc, for a program in C")
	}
	prog := filepath.Join(t.TempDir(), "sem")
	if out, err := exec.Command(gcc, "-O2", "-pthread", "-o", prog, "testdata/sem.c").CombinedOutput(); err != nil {
		t.Skipf("gcc cannot build testdata/sem.c here: %v\n%s", err, out)
	}
	return peer{t, proctest.StartProgram(t, prog, opts...)}
}

func (p peer) expect(command, answer string) {
	p.t.Helper()
	p.Send(command)
	if got := p.Line(); got != answer {
		p.t.Fatalf("C: %s: %s, want %s", command, got, answer)
	}
}

func withC(t *testing.T) (*Semaphore, []byte, peer) {
	t.Helper()
	f, mem := proctest.Memfd(t, 4096)
	s := sem(mem)
	watch(t, s)
	p := cPeer(t, proctest.Files(f))
	p.expect("map", "0")
	return s, mem, p
}

func TestItIsASemT(t *testing.T) {
	s, mem, c := withC(t)
	c.expect("size", "32")
	for _, n := range []uint32{0, 1, MaxValue} {
		s.Init(n)
		ours := bytes.Clone(mem[:32])
		clear(mem[:32])
		c.expect("init "+strconv.Itoa(int(n)), "0")
		if !bytes.Equal(ours, mem[:32]) {
			t.Errorf("Init(%d) writes\n% x, sem_init\n% x", n, ours, mem[:32])
		}
		c.expect("value", strconv.Itoa(int(n)))
		expectValue(t, s, n)
	}
	c.expect("post", "EOVERFLOW")
	if err := s.Release(); !errors.Is(err, ErrOverflow) {
		t.Errorf("Release: %v", err)
	}
}

func TestPermitsPassBetweenGoAndC(t *testing.T) {
	s, _, c := withC(t)
	s.Init(1)
	c.expect("wait", "0")
	c.expect("trywait", "EAGAIN")
	if s.TryAcquire() {
		t.Fatal("one permit was taken twice")
	}
	c.expect("post", "0")
	take(t, s)
	c.expect("timedwait 20", "ETIMEDOUT")
	if s.data.Load() != 0 {
		t.Errorf("data is %#x", s.data.Load())
	}
	// C sleeps, Go wakes.
	c.Send("wait")
	proctest.AwaitSleepers(t, c.Pid, 1)
	start := time.Now()
	give(t, s)
	if got := c.Line(); got != "0" {
		t.Fatalf("sem_wait: %s", got)
	}
	proctest.Within(t, "from Go to C", start)
	// Go sleeps, C wakes.
	got, _ := queue(t, context.Background(), s, 1)
	start = time.Now()
	c.expect("post", "0")
	<-got
	proctest.Within(t, "from C to Go", start)
	if s.data.Load() != 0 {
		t.Errorf("data is %#x with nobody left", s.data.Load())
	}
}

func TestAKilledWaiterInCEatsNoPermit(t *testing.T) { // T40
	s, _, c := withC(t)
	s.Init(0)
	c.Send("wait")
	proctest.AwaitSleepers(t, c.Pid, 1)
	got := make(chan error)
	go func() { got <- s.Acquire(context.Background()) }()
	proctest.Until(t, "both to be counted", func() bool { return s.waiters() == 2 })
	c.Kill()
	start := time.Now()
	give(t, s)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	proctest.Within(t, "after a waiter in C was killed", start)
	expectValue(t, s, 0)
}

func TestACancelledWaiterInGoLosesCNoWake(t *testing.T) {
	s, _, c := withC(t)
	s.Init(0)
	for range 50 {
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		all.Add(1)
		took := false
		go func() {
			defer all.Done()
			took = s.Acquire(ctx) == nil
		}()
		proctest.Until(t, "a sleeper in Go", func() bool { return s.waiters() == 1 })
		c.Send("wait")
		proctest.AwaitSleepers(t, c.Pid, 1) // behind the one in Go
		go cancel()
		give(t, s)
		all.Wait()
		if took { // before the cancellation: C needs another one
			give(t, s)
		}
		if got := c.Line(); got != "0" { // hangs if the wake was lost: C does not look
			t.Fatalf("sem_wait: %s", got)
		}
		if s.data.Load() != 0 {
			t.Fatalf("data is %#x with nobody left", s.data.Load())
		}
	}
}
