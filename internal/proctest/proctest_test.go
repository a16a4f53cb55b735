// What holds for proctest:
//   - test and child converse line by line, and share memory at two addresses;
//   - a child can be stopped, continued, killed, left a zombie, and its end is told;
//   - a child dies with the test process, whatever thread started it;
//   - whatever a test leaves behind fails the run: leaks_test.go.
package proctest

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/mark"
)

func TestMain(m *testing.M) { Main(m) }

func init() {
	Register("echo", func(c *Child) {
		c.Sayf("%d args, the second plus one is %d", len(c.Args), c.Int(1)+1)
		for range 2 {
			c.Say("heard " + c.Recv())
		}
	})
	Register("memory", func(c *Child) {
		mem := c.Memory(0)
		mem[0]++
		c.Sayf("%#x", address(mem))
		c.Recv()
	})
	Register("waits", func(c *Child) {
		c.Say("here")
		c.Recv()
	})
	Register("exits", func(c *Child) { os.Exit(c.Int(0)) })
	Register("marked", func(c *Child) {
		for i := range 3 {
			c.Sayf("before %d", i)
			mark.At("proctest.test")
		}
	})
	Register("env", func(c *Child) { c.Say(os.Getenv("PROCTEST_ENV")) })
}

func TestTheyConverse(t *testing.T) {
	p := Start(t, "echo", Args("a", "41"))
	p.Expect("2 args, the second plus one is 42")
	p.Silent(20 * time.Millisecond)
	p.Send("one")
	p.Expect("heard one")
	p.Send("two")
	if got := p.Line(); got != "heard two" {
		t.Fatalf("Line: %q", got)
	}
	p.WaitExit(0)
}

func TestMemoryIsSharedAtDifferentAddresses(t *testing.T) {
	f, mem := Memfd(t, 3*os.Getpagesize())
	mem[0] = 40
	where := map[string]bool{fmt.Sprintf("%#x", address(mem)): true}
	for range 2 {
		where[Start(t, "memory", Files(f)).Line()] = true
	}
	if mem[0] != 42 {
		t.Fatalf("two children added one each to 40: %d", mem[0])
	}
	if len(where) != 3 {
		t.Fatalf("three processes, addresses %v", where)
	}
	again := Map(t, f)
	if again[0] != 42 || address(again) == address(mem) {
		t.Fatalf("a second mapping: %d at %#x", again[0], address(again))
	}
}

func TestMemoryMovesWithoutAddressRandomisation(t *testing.T) {
	if _, err := exec.LookPath("setarch"); err != nil {
		t.Skip("no setarch to switch address randomisation off with:", err)
	}
	f, _ := Memfd(t, os.Getpagesize())
	var where [2]string
	for i := range where {
		where[i] = Start(t, "memory", Files(f), Wrap("setarch", "-R")).Line()
	}
	if where[0] == where[1] {
		t.Fatalf("both children mapped at %s", where[0])
	}
}

func TestAProgramTakesPart(t *testing.T) {
	p := StartProgram(t, "/bin/cat", Args("-u"))
	p.Send("hello")
	p.Expect("hello")
	p.Kill()
}

func TestEnvironmentReachesTheChild(t *testing.T) {
	p := Start(t, "env", Env("PROCTEST_ENV=yes"))
	p.Expect("yes")
	p.WaitExit(0)
}

func TestAStoppedChildStandsStillUntilCont(t *testing.T) {
	p := Start(t, "waits")
	p.Expect("here")
	p.Stop()
	p.Send("go on")
	select {
	case <-p.dead:
		t.Fatal("a stopped child ended")
	case <-time.After(20 * time.Millisecond):
	}
	p.Cont()
	p.WaitExit(0)
}

func TestAKilledChildIsGone(t *testing.T) {
	p := Start(t, "waits")
	p.Expect("here")
	p.Kill()
	if s := p.Wait(); !s.Signaled() || s.Signal() != unix.SIGKILL {
		t.Fatal(statusString(s))
	}
	if err := unix.Kill(p.Pid, 0); err != unix.ESRCH {
		t.Fatalf("kill 0 after Kill: %v", err)
	}
}

func TestAZombieStaysUntilWait(t *testing.T) {
	p := Start(t, "waits", Zombie())
	p.Expect("here")
	p.Kill()
	if state := procState(p.Pid); state != "Z" {
		t.Fatalf("state %q", state)
	}
	p.WaitKilled(unix.SIGKILL)
	if state := procState(p.Pid); state != "" {
		t.Fatalf("state %q after Wait", state)
	}
}

func TestTheEndOfAChildIsTold(t *testing.T) {
	for _, code := range []int{0, 7} {
		Start(t, "exits", Args(fmt.Sprint(code))).WaitExit(code)
	}
}

func TestAttrReachesTheChild(t *testing.T) {
	p := Start(t, "waits", Attr(func(a *syscall.SysProcAttr) { a.Setsid = true }))
	p.Expect("here")
	if sid, err := unix.Getsid(p.Pid); err != nil || sid != p.Pid {
		t.Fatalf("session %d of pid %d: %v", sid, p.Pid, err)
	}
	p.Kill()
}

func TestAMarkKillsAtItsPassage(t *testing.T) {
	p := Start(t, "marked", Mark("proctest.test:2"))
	p.Expect("before 0")
	p.Expect("before 1")
	p.WaitKilled(unix.SIGKILL)
}

func TestAMarkStopsAtItsPassage(t *testing.T) {
	p := Start(t, "marked", Mark("proctest.test:1:stop"))
	p.Expect("before 0")
	p.AwaitStop()
	p.Silent(20 * time.Millisecond)
	p.Cont()
	p.Expect("before 1")
	p.Expect("before 2")
	p.WaitExit(0)
}
