// What holds for the lock as a lock:
//   - one goroutine of one process at a time is inside, and the mutex says which
//     process (T10, INV-M6);
//   - TryLock returns at once, and not with a lock that somebody holds (T11);
//   - Unlock of what this process does not hold panics and changes nothing (T12);
//   - it is not recursive: a second lock waits for the first (T13);
//   - it belongs to the process: neither the goroutine nor its thread matters,
//     nor what becomes of them (T16, T26), nor a child's death (T27).
//
// Exclusion is shown by a plain counter, read, held a moment and written, and
// by the name of who is inside.
package mutex

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proc"
	"interlock/internal/proctest"
	"interlock/internal/race"
)

func init() {
	proctest.Register("crowd", func(c *proctest.Child) {
		b := at[board](c.Memory(0), 0)
		c.Say("ready")
		c.Recv()
		var wg sync.WaitGroup
		for g := range c.Int(0) {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range c.Int(1) {
					enter(&b.m, i)
					inside(b, uint64(os.Getpid())<<16+uint64(g)+1)
					b.m.Unlock()
				}
			}()
		}
		wg.Wait()
	})
	proctest.Register("lonely thread", func(c *proctest.Child) {
		b := at[board](c.Memory(0), 0)
		tid := make(chan int)
		var lock func()
		lock = func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			if unix.Gettid() == os.Getpid() {
				go lock() // cannot land here, and the first thread of a Go program never ends
				select {}
			}
			b.m.Lock()
			tid <- unix.Gettid()
		}
		go lock()
		c.Sayf("%d", <-tid)
		c.Recv()
		b.m.Unlock()
		c.Say("free")
	})
}

// enter locks in one of the three ways.
func enter(m *Mutex, i int) {
	switch i % 4 {
	case 0:
		for !m.TryLock() {
			runtime.Gosched()
		}
	case 1:
		if err := m.LockContext(context.Background()); err != nil {
			panic(err)
		}
	default:
		m.Lock()
	}
}

// inside is a critical section that notices another.
func inside(b *board, me uint64) {
	if b.inside != 0 {
		panic(fmt.Sprintf("%#x and %#x are both inside", b.inside, me))
	}
	b.inside = me
	if pid := proc.PID(b.m.prev.Load()); pid != os.Getpid() {
		panic(fmt.Sprintf("process %d holds it, and the mutex says %d", os.Getpid(), pid)) // INV-M6
	}
	n := b.count
	for range rand.N(20) {
		runtime.KeepAlive(n)
	}
	b.count = n + 1
	if b.inside != me {
		panic(fmt.Sprintf("%#x has come in with %#x inside", b.inside, me))
	}
	b.inside = 0
}

func TestOneAtATimeIsInside(t *testing.T) { // T10
	for _, size := range []struct{ procs, goroutines, rounds int }{{2, 1, 100000}, {4, 8, 5000}, {16, 2, 3000}, {64, 1, 500}, {1, 100, 1000}} {
		if race.Enabled {
			size.rounds /= 10
		}
		t.Run(fmt.Sprintf("%d processes of %d goroutines", size.procs, size.goroutines), func(t *testing.T) {
			f, b := newBoard(t)
			var crowd []*proctest.Proc
			for range size.procs {
				crowd = append(crowd, proctest.Start(t, "crowd", proctest.Files(f),
					proctest.Args(strconv.Itoa(size.goroutines), strconv.Itoa(size.rounds))))
			}
			for _, p := range crowd {
				p.Expect("ready")
			}
			for _, p := range crowd {
				p.Send("go")
			}
			for _, p := range crowd {
				p.WaitExit(0)
			}
			if want := uint64(size.procs * size.goroutines * size.rounds); b.count != want {
				t.Fatalf("the counter is %d after %d increments", b.count, want)
			}
			if v := b.m.word.Load(); v != 0 {
				t.Fatalf("everybody has left: %v", b)
			}
		})
	}
}

func TestTryLockNeverWaitsAndNeverTakesWhatIsHeld(t *testing.T) { // T11
	f, b := newBoard(t)
	p := startPeer(t, f)
	p.do("lock", "held")
	start := time.Now()
	if b.m.TryLock() {
		t.Fatal("TryLock took what another process holds")
	}
	if d := time.Since(start); proctest.TooLate(d) {
		t.Fatalf("TryLock took %v", d)
	}
	p.do("unlock", "free")
	if !b.m.TryLock() {
		t.Fatal("TryLock failed on a free mutex")
	}
	took := make(chan bool)
	go func() { took <- b.m.TryLock() }()
	if <-took || b.m.TryLock() {
		t.Fatal("TryLock took what this process holds")
	}
	p.do("try", "busy")
	b.m.Unlock()
	p.do("try", "held", "unlock", "free")
}

func TestUnlockOfWhatOneDoesNotHold(t *testing.T) { // T12
	f, b := newBoard(t)
	const unlocked = "mutex: unlock of unlocked mutex"
	unchanged := func(v uint32, what string) {
		t.Helper()
		if got := b.m.word.Load(); got != v {
			t.Fatalf("%s changed the word from %#x to %#x", what, v, got)
		}
	}
	stranger := startPeer(t, f) // it has never locked anything
	stranger.do("unlock", "panic "+unlocked)
	unchanged(0, "unlocking a free mutex")

	b.m.Lock()
	v := b.m.word.Load()
	stranger.do("unlock", fmt.Sprintf("panic mutex: unlock of a mutex held by process %d", os.Getpid()))
	unchanged(v, "a stranger's unlock")
	b.m.Unlock()
	if got := panicked(b.m.Unlock); got != unlocked {
		t.Fatalf("double unlock: %v", got)
	}
	unchanged(0, "a double unlock")

	stranger.do("lock", "held")
	v = b.m.word.Load()
	if got, want := panicked(b.m.Unlock), fmt.Sprintf("mutex: unlock of a mutex held by process %d", stranger.Pid); got != want {
		t.Fatalf("unlock of another's: %v, want %s", got, want)
	}
	unchanged(v, "unlock of another's")
	stranger.do("unlock", "free", "unlock", "panic "+unlocked)

	b.m.word.Store(1 << 30)
	if got := panicked(b.m.Unlock); got != unlocked {
		t.Fatalf("unlock of an orphan: %v", got)
	}
	unchanged(1<<30, "unlock of an orphan")
}

func TestASecondLockWaitsForTheFirst(t *testing.T) { // T13
	_, b := newBoard(t)
	b.m.Lock()
	mustWait(t, &b.m, 100*time.Millisecond)
	b.m.Unlock()
	mustHold(t, &b.m)
	b.m.Unlock()
}

func TestAnyGoroutineOnAnyThreadUnlocks(t *testing.T) { // T16
	_, b := newBoard(t)
	for range 100 {
		locked := make(chan int)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			b.m.Lock()
			locked <- unix.Gettid()
			<-locked // keeps its thread until the other one has unlocked on its own
		}()
		runtime.LockOSThread()
		if tid := <-locked; tid == unix.Gettid() {
			t.Fatal("two locked goroutines on one thread")
		}
		b.m.Unlock()
		runtime.UnlockOSThread()
		locked <- 0
	}
	go func() {
		b.m.Lock()
		runtime.Goexit()
	}()
	proctest.Until(t, "the goroutine's lock", func() bool { _, held := b.m.Owner(); return held })
	mustWait(t, &b.m, 50*time.Millisecond) // Goexit does not release
	b.m.Unlock()
}

func TestTheEndOfAThreadReleasesNothing(t *testing.T) { // T26
	f, b := newBoard(t)
	p := proctest.Start(t, "lonely thread", proctest.Files(f))
	tid := p.Line()
	proctest.Until(t, "the end of the thread", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%s", p.Pid, tid))
		return os.IsNotExist(err)
	})
	mustWait(t, &b.m, 200*time.Millisecond) // several looks
	p.Send("unlock")
	p.Expect("free")
	mustHold(t, &b.m)
	b.m.Unlock()
}

func TestAChildsDeathReleasesNothing(t *testing.T) { // T27, P-M11
	f, b := newBoard(t)
	p := startPeer(t, f)
	p.do("lock", "held", "spawn", "ok")
	mustWait(t, &b.m, 200*time.Millisecond)
	p.do("unlock", "free", "spawn", "ok")
	mustHold(t, &b.m)
	b.m.Unlock()
}

func TestOwnerSaysWhoHolds(t *testing.T) {
	proctest.NeedsRobustLists(t)
	f, b := newBoard(t)
	owner := func(pid int, held bool) {
		t.Helper()
		if p, h := b.m.Owner(); p != pid || h != held {
			t.Fatalf("Owner: %d, %v; want %d, %v", p, h, pid, held)
		}
	}
	owner(0, false)
	p := startPeer(t, f)
	p.do("lock", "held")
	owner(p.Pid, true)
	p.do("unlock", "free")
	owner(0, false)
	b.m.Lock()
	owner(os.Getpid(), true)
	b.m.Unlock()
	p.do("lock", "held")
	p.Kill()
	owner(p.Pid, false)
}
