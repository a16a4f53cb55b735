// What holds where the word alone does not tell a waiter's own process that
// somebody waits:
//   - one that sleeps while its own process takes the mutex by the fast path is
//     found by the look (INV-M7);
//   - where memory is mapped twice, who waits at one address is woken by an unlock
//     at the other, also by the second and third unlock in a row (T07);
//   - the same when the second mapping is made later and nobody tells: then a look
//     finds out.
package mutex

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/park"
	"interlock/internal/proctest"
	"interlock/internal/robust"
)

// keepLocking unlocks a mutex that is held and locks it again at once, every so
// often, until somebody else got in, for five seconds at most. It returns when.
func keepLocking(m *Mutex, every time.Duration, got chan time.Time) time.Time {
	for start := time.Now(); time.Since(start) < 5*time.Second; {
		time.Sleep(every)
		m.Unlock()
		m.Lock()
		select {
		case at := <-got:
			m.Unlock()
			return at
		default:
		}
	}
	m.Unlock()
	return <-got
}

// The wake goes to a process that dies of it; a goroutine of this process sleeps in the
// kernel; another goroutine of this process takes the word first, without WAITERS, and from
// then on locks and unlocks by the fast path.
func TestASleeperBesideItsOwnProcessesFastPath(t *testing.T) { // T21, INV-M7
	f, b := newBoard(t)
	var took []time.Duration
	for range 5 {
		thief, holder := startPeer(t, f), startPeer(t, f)
		mustHold(t, &b.m) // linked, recorded
		b.m.Unlock()
		holder.do("lock", "held")
		b.m.word.Or(robust.Waiters)
		thief.asleep(t, "thief", 1)
		got := make(chan time.Time, 1)
		go func() { b.m.Lock(); got <- time.Now(); b.m.Unlock() }()
		proctest.AwaitSleepers(t, unix.Getpid(), 1)
		holder.Send("unlock")
		for !b.m.TryLock() {
		}
		start := time.Now()
		if b.m.word.Load()&robust.Waiters != 0 {
			t.Log("round void")
		}
		took = append(took, keepLocking(&b.m, 5*time.Millisecond, got).Sub(start))
		thief.WaitKilled(unix.SIGKILL)
		holder.Expect("free")
		holder.Kill()
	}
	t.Logf("took %v", took)
	if proctest.TooLate(worst(took)) {
		t.Errorf("worst %v", worst(took))
	}
}

// Memory mapped twice: locked at one address, unlocked at the other.
func TestUnlockedAtTheOtherAddress(t *testing.T) { // T07
	f, mem := proctest.Memfd(t, os.Getpagesize())
	other := proctest.Map(t, f)
	a, b := at[board](mem, 0), at[board](other, 0)
	a.m.Lock()
	a.m.Unlock()
	proctest.Measure(t, func() string { return acrossAddresses(t, a, b) })
}

func acrossAddresses(t *testing.T, a, b *board) (complaint string) {
	var took []time.Duration
	for range 10 {
		a.m.Lock()
		var times [3]atomic.Int64
		var all sync.WaitGroup
		for i := range 3 {
			all.Add(1)
			go func() {
				defer all.Done()
				a.m.Lock()
				times[i].Store(now())
				b.m.Unlock() // at the other address
			}()
			for park.Waiters(&a.m.word) != i+1 {
			}
		}
		time.Sleep(3 * time.Millisecond)
		w := proctest.Begin()
		a.m.Unlock()
		all.Wait()
		took = append(took, w.Less(time.Duration(times[2].Load()-times[0].Load())))
	}
	t.Logf("%v", took)
	if median(took) > 10*time.Millisecond {
		return fmt.Sprintf("median %v: by the look", median(took))
	}
	return ""
}

// The second mapping is made when the mappings have been read, and the mutex there
// carries this process's identity already: nobody asks for the mappings again.
func TestMappedAgainLater(t *testing.T) { // T07
	f, mem := proctest.Memfd(t, os.Getpagesize())
	a := at[board](mem, 0)
	a.m.Lock()
	done := make(chan bool)
	go func() { a.m.Lock(); a.m.Unlock(); done <- true }() // the mappings are read
	for park.Waiters(&a.m.word) != 1 {
	}
	a.m.Unlock()
	<-done
	other := proctest.Map(t, f)
	b := at[board](other, 0)
	b.m.Lock()
	got := make(chan time.Time, 1)
	start := time.Now()
	go func() { a.m.Lock(); got <- time.Now(); a.m.Unlock() }()
	end := keepLocking(&b.m, 2*time.Millisecond, got)
	t.Logf("took %v", end.Sub(start))
	if proctest.TooLate(end.Sub(start)) {
		t.Error("too late")
	}
}
