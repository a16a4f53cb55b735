// What holds for the fast path and the race detector:
//   - locking and unlocking allocate nothing, and neither does a failed TryLock;
//   - under -race, heap data that the mutex guards gives no report (T60), with any
//     way of locking, and unguarded data still does;
//   - a mutex in private memory is a lock between goroutines;
//   - spinning goes on after a repair has panicked in it.
package mutex

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/park"
	"interlock/internal/proctest"
	"interlock/internal/race"
	"interlock/internal/robust"
	"interlock/internal/spin"
)

func TestNothingIsAllocated(t *testing.T) {
	proctest.NeedsRobustLists(t)
	if race.Enabled {
		t.Skip("the race detector allocates")
	}
	f, b := newBoard(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.m.Lock()
	b.m.Unlock()
	for name, pair := range map[string]func(){
		"Lock":        func() { b.m.Lock(); b.m.Unlock() },
		"TryLock":     func() { b.m.TryLock(); b.m.Unlock() },
		"LockContext": func() { b.m.LockContext(ctx); b.m.Unlock() },
	} {
		if n := testing.AllocsPerRun(1000, pair); n != 0 {
			t.Errorf("%s and Unlock allocate %v times", name, n)
		}
	}
	p := startPeer(t, f)
	p.do("lock", "held")
	if n := testing.AllocsPerRun(1000, func() { b.m.TryLock() }); n != 0 {
		t.Errorf("a TryLock that fails allocates %v times", n)
	}
}

// guard increments *n in several goroutines, with or without the lock.
func guard(m *Mutex, n *int, guarded bool) {
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 200 {
				if guarded {
					enter(m, i+g)
				}
				*n++
				if guarded {
					m.Unlock()
				}
			}
		}()
	}
	wg.Wait()
}

func init() {
	proctest.Register("unguarded", func(c *proctest.Child) {
		guard(&at[board](c.Memory(0), 0).m, new(int), false)
	})
}

func TestTheRaceDetectorUnderstands(t *testing.T) { // T60, P-G4
	f, b := newBoard(t)
	n := new(int)
	guard(&b.m, n, true)
	if *n != 800 {
		t.Errorf("the counter is %d", *n)
	}
	// Also by way of a repair, and of a waiter that gave up.
	b.m.OnOwnerDeath(func(int) error { *n++; return nil })
	b.m.word.Store(robust.OwnerDied)
	guard(&b.m, n, true)
	b.m.OnOwnerDeath(nil)
	if !race.Enabled {
		proctest.Excuse("unguarded")
		t.Skip("the rest needs -race")
	}
	p := proctest.Start(t, "unguarded", proctest.Files(f), proctest.MayRace())
	p.Wait()
	if !strings.Contains(p.Output(), "WARNING: DATA RACE") {
		t.Errorf("unguarded data is not reported:\n%s", p.Output())
	}
}

func TestInPrivateMemoryItIsALock(t *testing.T) {
	m := new(Mutex)
	n := 0
	guard(m, &n, true)
	if n != 800 {
		t.Errorf("the counter is %d", n)
	}
	m.Lock()
	if m.TryLock() {
		t.Error("TryLock took what is held")
	}
	mustWait(t, m, 20*time.Millisecond)
	m.Unlock()
}

func TestSpinningSurvivesAPanic(t *testing.T) {
	if maxSpinners == 0 {
		t.Skip("one CPU: nobody spins")
	}
	_, b := newBoard(t)
	b.m.OnOwnerDeath(func(int) error { panic("broken tools") })
	for range 2000 {
		b.m.word.Store(uint32(os.Getppid())) // held by somebody alive
		ready := make(chan bool)
		go func() {
			ready <- true
			for pause := rand.N(20); pause > 0; pause-- {
				spin.Pause(20)
			}
			b.m.word.Store(robust.OwnerDied) // while the other one spins, or a little before or after
		}()
		<-ready
		panicked(func() { b.m.LockContext(context.Background()) })
		if n := spinners.Load(); n != 0 {
			t.Fatalf("%d spinners are counted, and none spins", n)
		}
	}
	b.m.OnOwnerDeath(nil)
	b.m.word.Store(0)
}

// A thousand goroutines that wait for one mutex, and a thousand mutexes with one
// each: the first are one sleeper, and neither keeps a CPU busy.
func TestWaitingCostsLittle(t *testing.T) { // T84, P-G2
	proctest.NeedsWaitv(t)
	for _, many := range []string{"goroutines", "mutexes"} {
		t.Run("1000 "+many, func(t *testing.T) {
			const n = 1000
			f, mem := proctest.Memfd(t, n*mutexSize)
			proctest.Watchdog(t, time.Minute, nil)
			p := proctest.Start(t, "table", proctest.Files(f), proctest.Args(itoa(n)))
			p.Expect("locked")
			table := mutexes(mem, n)
			if many == "goroutines" {
				table = table[:1]
			}
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			before := threads(t)
			for i := range n {
				wg.Add(1)
				go func() {
					defer wg.Done()
					if err := table[i%len(table)].LockContext(ctx); !errors.Is(err, context.Canceled) {
						t.Errorf("LockContext: %v", err)
					}
				}()
			}
			for i := range table {
				proctest.Until(t, "all to wait", func() bool { return park.Waiters(&table[i].word) == n/len(table) })
			}
			started := threads(t) - before
			if started > proctest.FewThreads() {
				t.Errorf("%d goroutines cost %d threads", n, started)
			}
			proctest.Measure(t, func() (complaint string) {
				cpu, wall := cpuTime(t), time.Now()
				<-time.After(500 * time.Millisecond)
				share := float64(cpuTime(t)-cpu) / float64(time.Since(wall))
				t.Logf("%d threads more, %.2f %% of a CPU", started, 100*share)
				if share > 0.10 {
					return fmt.Sprintf("waiting costs %.1f %% of a CPU", 100*share)
				}
				return ""
			})
			cancel()
			wg.Wait()
		})
	}
}

func threads(t *testing.T) int {
	t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return len(tasks)
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
