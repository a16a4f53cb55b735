// What holds for a Cond, whoever waits and signals:
//   - whoever waited before a Signal is not left asleep because a later one took it
//     (T42, P-C3, INV-C2);
//   - Broadcast wakes all, and each returns holding the mutex (T43);
//   - the sequence may wrap (T48); waiters cost no thread each (P-G2).
//
// Where a wake must get lost for a test, it is lost by hand: the sequence is moved
// and nobody woken, as by a signaller that dies in between.
package condvar

import (
	"context"
	"fmt"
	"math"
	"os"
	"sync"
	"testing"
	"time"

	"interlock/futex"
	"interlock/internal/park"
	"interlock/internal/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

const hang = 2 * time.Minute // a watchdog's patience: never what decides

// share makes a scene for this process and, by its file, for children.
func share(t *testing.T) (*os.File, *scene) {
	t.Helper()
	f, mem := proctest.Memfd(t, 4096)
	s := at(mem)
	proctest.Watchdog(t, hang, func() string {
		pid, held := s.m.Owner()
		return fmt.Sprintf("mutex: owner %d held %v; seq %d waiters %d; ready %d passed %d",
			pid, held, s.c.seq.Load(), s.c.waiters.Load(), s.ready.Load(), s.passed.Load())
	})
	return f, s
}

// waitHere starts a goroutine that locks, waits once, unlocks and sends what Wait
// returned. It returns when the waiter has joined, and one of this process sleeps
// for all.
func waitHere(t *testing.T, ctx context.Context, s *scene) chan error {
	t.Helper()
	before := park.Waiters(&s.c.seq)
	ended := make(chan error, 1)
	go func() {
		s.m.Lock()
		err := s.c.WaitContext(ctx, &s.m)
		s.m.Unlock() // panics if it is not held
		ended <- err
	}()
	proctest.Until(t, "one more to wait", func() bool { return park.Waiters(&s.c.seq) == before+1 })
	proctest.AwaitSleepers(t, os.Getpid(), 1)
	return ended
}

func expectNil(t *testing.T, ended chan error) {
	t.Helper()
	if err := <-ended; err != nil {
		t.Fatalf("Wait: %v", err)
	}
}

// expectNobody fails if something is left of waiters that are all gone.
func expectNobody(t *testing.T, s *scene) {
	t.Helper()
	if n := s.c.waiters.Load(); n != 0 {
		t.Errorf("%d waiters are counted where nobody waits", n)
	}
}

func TestSignalWakesAWaiter(t *testing.T) {
	_, s := share(t)
	ended := waitHere(t, context.Background(), s)
	start := time.Now()
	s.c.Signal()
	expectNil(t, ended)
	t.Logf("%v", time.Since(start))
	expectNobody(t, s)
	s.c.Signal() // to nobody: forgotten
	s.c.Broadcast()
	ctx, cancel := context.WithTimeout(context.Background(), 2*proctest.Promise)
	defer cancel()
	s.m.Lock()
	defer s.m.Unlock()
	if err := s.c.WaitContext(ctx, &s.m); err != context.DeadlineExceeded {
		t.Errorf("a Signal was kept for later: %v", err)
	}
}

// The sequence moves, a later waiter of another process comes, and the wake goes to
// that one: the earlier one must return all the same.
func TestALaterWaiterCannotStealTheSignal(t *testing.T) { // T42, P-C3
	f, s := share(t)
	first := waitHere(t, context.Background(), s)
	s.c.seq.Add(1) // E-C2, and the wake comes later
	later := child(t, f, "waiter", "here")
	sleeping(t, later)
	start := time.Now()
	// Out of the way with the first, so that the later one is the next to be woken.
	// (Unless a look was faster: then that served the first, and all is said.)
	if _, err := futex.Requeue(&s.c.seq, s.c.seq.Load(), 0, &s.c.waiters, 1); err != nil {
		t.Fatal(err)
	}
	if n, err := futex.Wake(&s.c.seq, 1); n != 1 || err != nil {
		t.Logf("Wake = %d, %v", n, err)
	}
	expectNil(t, first)
	proctest.Within(t, "whose signal went to a later waiter", start)
	proctest.Until(t, "it to end", func() bool { s.c.Broadcast(); return s.c.waiters.Load() == 0 })
	later.Expect("returned")
}

func TestASignalWakesTheOldestOfAProcessAndOnlyThat(t *testing.T) { // T42
	_, s := share(t)
	const n, k = 6, 4
	var ended []chan error
	for range n {
		ended = append(ended, waitHere(t, context.Background(), s))
	}
	start := time.Now()
	for range k { // faster than one sleeper wakes: none may be lost
		s.c.Signal()
	}
	for _, e := range ended[:k] {
		expectNil(t, e)
	}
	proctest.Within(t, "4 signals to 4 of 6 waiters", start)
	time.Sleep(3 * proctest.Promise) // in which looks must find nothing
	for i, e := range ended[k:] {
		select {
		case err := <-e:
			t.Errorf("number %d is back after %d signals: %v", k+i, k, err)
		default:
			s.c.Signal()
			expectNil(t, e)
		}
	}
	expectNobody(t, s)
}

// The one that sleeps for all is woken once, for several signals.
func TestSignalsThatFoundNobodyAsleepAreServed(t *testing.T) {
	_, s := share(t)
	const n, k = 6, 4
	var ended []chan error
	for range n {
		ended = append(ended, waitHere(t, context.Background(), s))
	}
	s.c.seq.Add(k) // E-C2 four times, before anybody has got up
	if _, err := futex.Wake(&s.c.seq, 1); err != nil {
		t.Fatal(err)
	}
	for _, e := range ended[:k] {
		expectNil(t, e)
	}
	if left := park.Waiters(&s.c.seq); left != n-k {
		t.Errorf("%d wait on, of %d after %d signals", left, n, k)
	}
	s.c.Broadcast()
	for _, e := range ended[k:] {
		expectNil(t, e)
	}
	expectNobody(t, s)
}

func TestALaterWaiterSleepsOnWhenAnEarlierSignalIsRepaired(t *testing.T) { // T42
	_, s := share(t)
	first := waitHere(t, context.Background(), s)
	s.c.seq.Add(2) // E-C2 twice, and death: there is news for more than were there
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 3*proctest.Promise)
	defer cancel()
	later := make(chan error, 1)
	go func() {
		s.m.Lock()
		later <- s.c.WaitContext(ctx, &s.m)
		s.m.Unlock()
	}()
	expectNil(t, first)
	proctest.Within(t, "whose signaller died", start)
	if err := <-later; err != context.DeadlineExceeded {
		t.Errorf("who came after it: %v", err)
	}
	s.m.Lock()
	expectNobody(t, s)
	s.m.Unlock()
}

func TestASignalBetweenUnlockAndSleepIsNotLost(t *testing.T) { // T42, futex F1
	_, s := share(t)
	proctest.Measure(t, func() string { return handOvers(s) })
}

func handOvers(s *scene) (complaint string) {
	const rounds = 20_000
	var slow int
	done := make(chan bool)
	go func() {
		for range rounds {
			s.m.Lock()
			for s.ready.Load() == 0 {
				s.c.Wait(&s.m)
			}
			s.ready.Store(0)
			s.m.Unlock()
			done <- true
		}
	}()
	for range rounds {
		s.m.Lock()
		s.ready.Store(1)
		s.m.Unlock()
		start := time.Now()
		s.c.Signal() // the waiter may be anywhere
		<-done
		if time.Since(start) > 20*time.Millisecond {
			slow++ // the look found it, or the machine is busy
		}
	}
	if slow > rounds/100 {
		return fmt.Sprintf("%d of %d hand-overs waited for the look", slow, rounds)
	}
	return ""
}

// The signal is there, and not its wake, when the cancellation comes.
func TestTheSequenceMayWrap(t *testing.T) { // T48
	_, s := share(t)
	s.c.seq.Store(0xFFFFFFF0)
	for range 64 {
		one := waitHere(t, context.Background(), s)
		s.c.Signal()
		expectNil(t, one)
	}
	if seq := s.c.seq.Load(); seq != 64-16 {
		t.Errorf("the sequence is %#x", seq)
	}
	s.c.seq.Store(math.MaxUint32)
	one := waitHere(t, context.Background(), s)
	s.c.seq.Add(1) // to 0, and nobody woken
	start := time.Now()
	expectNil(t, one)
	proctest.Within(t, "over a wrap", start)
}

func TestWhatIsDoneBeforeASignalIsSeenAfterTheWait(t *testing.T) { // T60: the race detector is the judge
	_, s := share(t)
	guarded := 0
	var all sync.WaitGroup
	all.Add(4)
	for range 4 {
		go func() {
			defer all.Done()
			s.m.Lock()
			defer s.m.Unlock()
			for guarded == 0 {
				s.c.Wait(&s.m)
			}
			guarded++
		}()
	}
	s.m.Lock()
	guarded = 1
	s.m.Unlock()
	s.c.Broadcast()
	all.Wait()
	if guarded != 5 {
		t.Errorf("guarded is %d", guarded)
	}
}

func TestASignalOrdersWhatCameBeforeIt(t *testing.T) { // T60: without the mutex's help
	_, s := share(t)
	for _, how := range []func(){s.c.Signal, s.c.Broadcast} {
		said, heard := 0, make(chan int)
		go func() {
			s.m.Lock()
			s.c.Wait(&s.m)
			n := said
			s.m.Unlock()
			heard <- n
		}()
		proctest.Until(t, "it to wait", func() bool { return park.Waiters(&s.c.seq) == 1 })
		proctest.AwaitSleepers(t, os.Getpid(), 1)
		said = 1
		how()
		if n := <-heard; n != 1 {
			t.Errorf("heard %d", n)
		}
	}
}
