// What holds when a process ends, in any way, or stops exactly between two steps of
// waiting or signalling (T45, T46; needs -tags marks):
//   - those who wait already get what a signaller had begun;
//   - signals go on, and whoever comes after is served;
//   - the mutex is nobody's: not the dead one's, nor an orphan;
//   - a process that is only stopped there goes on, and misses nothing (P-K8).
package condvar

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

// A point leads a child, the victim, to a mark.
type point struct {
	mark, kind, says string // the victim: its kind, what it says first
	order, end       string // what it is told, what it answers in the end
	signaller        bool   // a waiter of this process and one of another sleep
	lead             func(t *testing.T, s *scene, victim *proctest.Proc) (after func())
}

func justWait(t *testing.T, s *scene, victim *proctest.Proc) (after func()) { return func() {} }

var points = []point{
	{"E-C1 unlocked not asleep", "waiter", "here", "wait", "returned", false, justWait},
	{"E-C2 moved not woken", "signaller", "here", "signal", "done", true, justWait},
	{"E-C2 moved not woken", "signaller", "here", "broadcast", "done", true, justWait},
	{"E-C3 woken not locked", "waiter", "here", "wait", "returned", false,
		func(t *testing.T, s *scene, victim *proctest.Proc) func() {
			proctest.AwaitSleepers(t, victim.Pid, 1)
			s.c.Signal()
			return func() {}
		}},
	// Wait's Unlock, and its Lock after the signal.
	{"E-M5 released not woken", "holding waiter", "holds", "wait", "returned", false,
		func(t *testing.T, s *scene, victim *proctest.Proc) func() { return s.m.Unlock }},
	{"E-M2 flagged not asleep", "waiter", "here", "wait", "returned", false,
		func(t *testing.T, s *scene, victim *proctest.Proc) func() {
			proctest.AwaitSleepers(t, victim.Pid, 1)
			s.m.Lock()
			s.c.Signal()
			return s.m.Unlock
		}},
}

func TestAnEndOrAStopAtAMark(t *testing.T) { // T45, T46, P-K8
	for _, x := range points {
		for _, how := range []string{"kill", "exit", "exec", "stop"} {
			t.Run(x.mark+", "+x.order+", "+how, func(t *testing.T) {
				f, s := share(t)
				victim := child(t, f, x.kind, x.says, proctest.Mark(x.mark+":"+how))
				var there *proctest.Proc
				var here chan error
				if x.signaller {
					there = child(t, f, "waiter", "here")
					sleeping(t, there)
					here = waitHere(t, context.Background(), s)
				}
				locked := make(chan bool, 1)
				if x.kind == "holding waiter" {
					go func() { s.m.Lock(); locked <- true }()
					proctest.AwaitSleepers(t, os.Getpid(), 1) // so that its Unlock has somebody to wake
				}
				victim.Send(x.order)
				after := x.lead(t, s, victim)
				awaitEnd(t, victim, how)
				start := time.Now()
				if x.kind == "holding waiter" {
					<-locked
					proctest.Within(t, "who wanted the mutex", start)
				}
				after()
				if x.signaller {
					there.Expect("returned")
					expectNil(t, here)
					proctest.Within(t, "those whose signaller went that way", start)
				}
				survives(t, f, s, "a "+how+" at "+x.mark)
				switch how {
				case "exec":
					victim.Kill()
				case "stop":
					start = time.Now()
					victim.Cont()
					victim.Expect(x.end)
					proctest.Within(t, "the stopped one, after SIGCONT", start)
				}
			})
		}
	}
}

// awaitEnd returns when the victim has come to its mark and its end.
func awaitEnd(t *testing.T, victim *proctest.Proc, how string) {
	t.Helper()
	switch how {
	case "kill":
		victim.WaitKilled(unix.SIGKILL)
	case "exit":
		victim.WaitExit(0)
	case "exec":
		proctest.Until(t, "execve", func() bool { return proctest.Command(victim.Pid) == "sleep" })
	case "stop":
		victim.AwaitStop()
	}
}
