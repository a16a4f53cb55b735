package include

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"interlock/internal/proctest"
	"interlock/internal/robust"
	"interlock/mutex"
	"interlock/shm"
)

// await waits once in Go, and says what WaitContext returned.
func (d desk) await(t *testing.T, ctx context.Context) <-chan error {
	t.Helper()
	before := proctest.Sleepers(os.Getpid())
	done := make(chan error, 1)
	go func() {
		d.Mu.Lock()
		defer d.Mu.Unlock()
		done <- d.Made.WaitContext(ctx, &d.Mu)
	}()
	proctest.AwaitSleepers(t, os.Getpid(), before+1)
	return done
}

// A look would bring a lost signal too, in some 20 ms at the median: most are
// to come by the wake.
func TestSignalsPassBothWays(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		p := d.peer(t)
		proctest.Measure(t, func() string {
			var toGo, toC proctest.Times
			for range 20 {
				done := d.await(t, context.Background())
				start := time.Now()
				p.do("signal", "ok")
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				toGo = append(toGo, time.Since(start))
				p.do("lock", "ok")
				p.asleep(t, "wait")
				start = time.Now()
				d.Made.Signal()
				p.Expect("ok")
				toC = append(toC, time.Since(start))
				p.do("unlock", "ok")
			}
			t.Logf("from C to Go: median %v; from Go to C: median %v", toGo.At(0.5), toC.At(0.5))
			if max(toGo.At(0.5), toC.At(0.5)) > 10*time.Millisecond {
				return "signals come late"
			}
			return ""
		})
		if n := field[uint32](&d.Made, "waiters"); n != 0 {
			t.Errorf("%d waiters with nobody left", n)
		}
	})
}

// One signal for each turn, given by who waits at the mutex when C lets go of it: if C
// read the sequence only then, no look would find what it has missed.
func TestNoSignalIsMissedBeforeTheSleep(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		const rounds = 20000
		p := d.peer(t)
		p.Send(fmt.Sprintf("turns %d", rounds))
		for i, end := 0, time.Now().Add(proctest.Patience); i < rounds; {
			d.Mu.Lock()
			if d.Inside == 0 {
				d.Inside = 1
				d.Made.Signal()
				i++
			}
			d.Mu.Unlock()
			if time.Now().After(end) {
				t.Fatalf("turn %d of %d was not taken", i, rounds)
			}
		}
		p.Expect("ok")
	})
}

func TestABroadcastReachesBothKinds(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		var peers []peer
		for range 3 {
			p := d.peer(t)
			p.do("lock", "ok")
			p.asleep(t, "wait and unlock")
			peers = append(peers, p)
		}
		first, second := d.await(t, context.Background()), make(chan error, 1)
		go func() { // the second of a process sleeps in no kernel
			d.Mu.Lock()
			defer d.Mu.Unlock()
			second <- d.Made.WaitContext(context.Background(), &d.Mu)
		}()
		proctest.Until(t, "five waiters", func() bool { return field[uint32](&d.Made, "waiters") == 5 })
		d.Mu.Lock() // the last has let go of the mutex: it waits
		d.Mu.Unlock()
		d.peer(t).do("broadcast", "ok")
		for _, p := range peers {
			p.Expect("ok")
		}
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
	})
}

func TestDeadlinesEndWaits(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		p := d.peer(t)
		p.do("lock", "ok")
		for _, ms := range []string{"-5", "0", "3", "120"} { // the last is longer than a look
			p.do("wait "+ms, "ETIMEDOUT")
		}
		if d.Mu.TryLock() {
			t.Fatal("C returned without the mutex")
		}
		q := d.peer(t)
		q.do("lock 0", "ETIMEDOUT", "lock 70", "ETIMEDOUT", "unlock", "EPERM", "wait", "EPERM")
		p.do("unlock", "ok")
		q.do("lock 0", "ok", "unlock", "ok")
		if n := field[uint32](&d.Made, "waiters"); n != 0 {
			t.Errorf("%d waiters with nobody left", n)
		}
	})
}

// A deadline in the past is what the header has in place of trylock: however long past,
// and whatever the clock shows beyond its seconds.
func TestADeadlineInThePastIsATimeOut(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		p := d.peer(t)
		d.Mu.Lock()
		p.do("past 2000", "ETIMEDOUT")
		d.Mu.Unlock()
		p.do("lock -1500", "ok", "unlock", "ok")
	})
}

// The look of the header: nobody wakes these waiters. P-M1, P-C3.
func TestWakesThatDiedAreMadeUpFor(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		p := d.peer(t)
		p.do("lock", "ok")
		p.asleep(t, "wait")
		start := time.Now()
		word(&d.Made).Add(1) // E-C2, and then its process was killed
		p.Expect("ok")
		proctest.Within(t, "a signal without its wake", start)

		// Held by C when we free the word without the wake that is due.
		q := d.peer(t)
		p.do("unlock", "ok")
		d.Mu.Lock()
		q.asleep(t, "lock")
		start = time.Now()
		release(&d.Mu)
		q.Expect("ok")
		proctest.Within(t, "an unlock without its wake", start)
		q.do("unlock", "ok")
	})
}

// What a plain glibc program cannot promise: it sleeps beside a free mutex, and beside
// a permit, until somebody else comes (P-M1, P-M2, P-S2).
func TestPlainGlibcHasNoLook(t *testing.T) {
	d := newDesk(t, "C")
	locker, poster := d.peer(t), d.peer(t)
	locker.do("init", "ok")
	d.Mu.Lock()
	locker.asleep(t, "plain lock")
	release(&d.Mu)
	poster.asleep(t, "plain wait")
	permit(&d.Permits)
	const long = 10 * proctest.Promise
	locker.Silent(long)
	poster.Silent(0)
	t.Logf("after %v, pthread_mutex_lock still sleeps beside a free mutex, sem_wait beside a permit", long)

	// Another Go process that comes and goes does not help the locker, for there is no
	// WAITERS in the word any more; one that waits itself does.
	d.Mu.Lock()
	d.Mu.Unlock()
	locker.Silent(proctest.Promise)
	d.Mu.Lock()
	p := d.peer(t)
	p.asleep(t, "lock") // sets WAITERS
	d.Mu.Unlock()
	locker.Expect("ok") // the kernel wakes who came first
	locker.do("unlock", "ok")
	p.Expect("ok")
	p.do("unlock", "ok")
	if err := d.Permits.Release(); err != nil { // wakes it: it is still counted
		t.Error(err)
	}
	poster.Expect("ok")
}

func TestOwnerDeathInAWaitForASignal(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		p := d.peer(t)
		p.do("lock", "ok")
		p.asleep(t, "wait")
		victim := d.peer(t)
		victim.do("lock", "ok", "signal", "ok") // p is woken, and waits for the mutex
		victim.Kill()
		p.Expect("EOWNERDEAD")
		p.do("wait", "EINVAL", "repaired", "ok", "unlock", "ok")

		// Unlocked unrepaired: condemned, to both.
		victim = d.peer(t)
		victim.do("lock", "ok")
		victim.Kill()
		p.do("lock", "EOWNERDEAD", "unlock", "ok", "lock", "ENOTRECOVERABLE", "lock 0", "ENOTRECOVERABLE")
		if err := d.Mu.LockContext(context.Background()); !errors.Is(err, mutex.ErrNotRecoverable) {
			t.Errorf("Go: %v", err)
		}
	})
}

// Condemned stays condemned: also when one died who had just learned of it and still
// had the word, and when glibc's trylock keeps the word.
func TestCondemnedStaysCondemned(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		p, try := d.peer(t), d.peer(t)
		victim := d.peer(t)
		victim.do("lock", "ok")
		victim.Kill()
		p.do("lock", "EOWNERDEAD", "unlock", "ok", "lock", "ENOTRECOVERABLE")
		try.do("plain try", "ENOTRECOVERABLE")
		if v := field[uint32](&d.Mu, "word"); v != uint32(try.Pid) {
			t.Logf("this glibc's trylock has let go of it: %#x", v)
		}
		p.do("lock", "ENOTRECOVERABLE")
		condemned := func() {
			t.Helper()
			if err := d.Mu.LockContext(context.Background()); !errors.Is(err, mutex.ErrNotRecoverable) {
				t.Errorf("Go: %v", err)
			}
		}
		condemned()
		try.Kill() // it still has the word: it is in no list of glibc's
		p.do("lock", "ENOTRECOVERABLE")
		condemned()
		setWord(&d.Mu, robust.OwnerDied) // as the kernel marks it for a locker that dies before it lets go
		p.do("lock", "ENOTRECOVERABLE", "lock 0", "ENOTRECOVERABLE")
		condemned()
		p.do("plain lock", "EOWNERDEAD") // this is what the others avoid
		t.Log("pthread_mutex_lock takes a condemned mutex whose last locker died for an orphan")
		p.do("unlock", "ok") // unrepaired: condemned again
		condemned()
	})
}

func init() {
	proctest.Register("locker", func(c *proctest.Child) {
		b, seg, err := shm.Share[board](context.Background(), c.Args[0], nil)
		c.Check(err)
		defer seg.Close()
		c.Say("ready")
		if err := b.Mu.LockContext(context.Background()); errors.Is(err, mutex.ErrNotRecoverable) {
			c.Say("ENOTRECOVERABLE")
		} else {
			c.Say(fmt.Sprint(err))
		}
	})
}

// What the header cannot promise: asleep in pthread_mutex_clocklock it does not see that
// the mutex was condemned meanwhile, if the first to learn of it died with the word. Go,
// which looks after its sleep too, does.
func TestACondemnedMutexIsAnOrphanToASleeperInC(t *testing.T) {
	each(t, func(t *testing.T, d desk) {
		holder, p := d.peer(t), d.peer(t)
		holder.do("lock", "ok")
		locker := proctest.Start(t, "locker", proctest.Args(d.name))
		locker.Expect("ready")
		proctest.AwaitSleepers(t, locker.Pid, 1)
		condemnAndDie(&d.Mu)
		locker.Expect("ENOTRECOVERABLE")

		setWord(&d.Mu, 0)
		setOwner(&d.Mu, 0)
		holder = d.peer(t)
		holder.do("lock", "ok")
		p.asleep(t, "lock")
		condemnAndDie(&d.Mu)
		p.Expect("EOWNERDEAD")
		p.do("unlock", "ok", "lock", "ENOTRECOVERABLE") // unrepaired: condemned again
	})
}

func TestAMutexOfAnotherKindIsRefused(t *testing.T) {
	d := newDesk(t, "C")
	p := d.peer(t)
	setKind(&d.Mu, 1)
	p.do("lock", "EINVAL", "init", "EINVAL")
	setKind(&d.Mu, 0)
	p.do("lock", "ok", "unlock", "ok")
	if kind := field[uint32](&d.Mu, "kind"); kind != 0x90 {
		t.Errorf("kind %#x", kind)
	}
}
