// What holds when a process ends, or stops, exactly between two steps of the
// protocol (T19; needs -tags marks):
//   - whatever the step and whatever the end, the next one gets the lock in time,
//     asleep already or not (T20, P-M1, P-M2);
//   - it has something to repair if the dead one held the mutex, and not if the dead
//     one had not taken it yet or had let it go;
//   - a process that is only stopped there keeps what it has, and goes on (P-K8).
package mutex

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

// A scene leads a peer, the victim, to a mark.
type scene struct {
	mark   string
	repair uint64 // repairs that the one after the victim runs
	holds  bool   // the victim holds the mutex there
	play   func(t *testing.T, f *os.File, b *board, victim, waiter peer)
}

var scenes = []scene{
	{"E-M2 flagged not asleep", 0, false, func(t *testing.T, f *os.File, b *board, victim, waiter peer) {
		mustHold(t, &b.m)
		victim.Send("lock")
		proctest.Until(t, "WAITERS", func() bool { return b.m.word.Load()>>31 != 0 })
		b.m.Unlock()
	}},
	{"E-M3 taken not recorded", 1, true, func(t *testing.T, f *os.File, b *board, victim, waiter peer) {
		victim.Send("lock")
	}},
	{"E-M5 released not woken", 0, false, func(t *testing.T, f *os.File, b *board, victim, waiter peer) {
		victim.do("lock", "held")
		waiter.asleep(t, "lock", 1)
		victim.Send("unlock")
	}},
	{"E-M7 inherited not recorded", 1, true, playHeir},
	{"E-M7 about to repair", 1, true, playHeir},
	{"E-M7 repaired not whole", 2, true, playHeir},
}

func playHeir(t *testing.T, f *os.File, b *board, victim, waiter peer) {
	bequeath(t, f)
	victim.do("repair ok", "ok")
	victim.Send("lock")
}

func TestAnEndAtAMark(t *testing.T) { // T19
	for _, s := range scenes {
		for _, how := range []string{"kill", "exit", "exec"} {
			t.Run(s.mark+", "+how, func(t *testing.T) {
				f, b := newBoard(t)
				victim := startPeer(t, f, proctest.Mark(s.mark+":"+how))
				waiter := startPeer(t, f)
				waiter.do("repair ok", "ok")
				s.play(t, f, b, victim, waiter)
				switch how {
				case "kill":
					victim.WaitKilled(unix.SIGKILL)
				case "exit":
					victim.WaitExit(0)
				case "exec":
					proctest.Until(t, "execve", func() bool { return proctest.Command(victim.Pid) == "sleep" })
				}
				ended := now()
				if s.mark != "E-M5 released not woken" {
					waiter.Send("lock")
				}
				waiter.Expect("held")
				d := time.Duration(b.held.Load() - ended)
				t.Logf("end to acquired: %v", d)
				if proctest.TooLate(d) {
					t.Errorf("it took %v", d)
				}
				if b.repair != s.repair {
					t.Errorf("%d repairs, want %d; %v", b.repair, s.repair, b)
				}
				waiter.do("unlock", "free")
				mustHold(t, &b.m)
				b.m.Unlock()
				if how == "exec" {
					victim.Kill()
				}
			})
		}
	}
}

func TestAStopAtAMark(t *testing.T) { // T19, P-K8
	for _, s := range scenes {
		t.Run(s.mark, func(t *testing.T) {
			f, b := newBoard(t)
			victim := startPeer(t, f, proctest.Mark(s.mark+":stop"))
			waiter := startPeer(t, f)
			waiter.do("repair ok", "ok")
			s.play(t, f, b, victim, waiter)
			victim.AwaitStop()
			switch {
			case s.holds:
				waiter.do("lockctx 150ms", "deadline") // several looks
				victim.Cont()
				victim.Expect("held")
				victim.do("unlock", "free")
				waiter.do("lock", "held", "unlock", "free")
			case s.mark == "E-M5 released not woken":
				waiter.Expect("held") // the look gives it to the sleeper
				victim.Cont()
				victim.Expect("free")
				waiter.do("unlock", "free")
			default:
				waiter.do("lock", "held")
				victim.Cont()
				waiter.do("unlock", "free")
				victim.Expect("held")
				victim.do("unlock", "free")
			}
			if b.repair > 1 {
				t.Errorf("%d repairs", b.repair)
			}
		})
	}
}

// The whole of T20 with the real code: the unlocker stops before its wake, a third
// takes the word without WAITERS, and only then the unlocker dies.
func TestABargerBeforeTheUnlockersDeath(t *testing.T) { // T20
	f, b := newBoard(t)
	var unlocker peer
	waiter := barge(t, b, func() peer {
		waiter := startPeer(t, f)
		unlocker = startPeer(t, f, proctest.Mark("E-M5 released not woken:stop"))
		unlocker.do("lock", "held")
		waiter.asleep(t, "lock", 1)
		unlocker.Send("unlock")
		return waiter
	})
	unlocker.AwaitStop()
	unlocker.Kill()
	freed := now()
	b.m.Unlock()
	recovered(t, b, waiter, freed)
	waiter.do("unlock", "free")
}
