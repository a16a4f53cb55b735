// What holds between namespaces:
//   - two PID namespaces refuse each other's mutexes, in both directions, whether
//     or not /proc is their own (T33, P-K7);
//   - and a death in one leaves the other's lock alone;
//   - two time namespaces of one PID namespace see one start time: a live owner's
//     lock is not taken because its clock differs;
//   - a recycled PID and TID do not keep a dead owner alive (T32).
package mutex

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/robust"
)

func needNamespaces(t *testing.T, excuse ...string) {
	t.Helper()
	try := exec.Command("true")
	try.SysProcAttr = &syscall.SysProcAttr{}
	otherPIDs(try.SysProcAttr)
	if err := try.Run(); err != nil { // root in a container may not either
		proctest.Excuse(excuse...)
		t.Skipf("may not make namespaces: %v", err)
	}
}

// otherPIDs starts the child as process 1 of a PID namespace of its own.
func otherPIDs(a *syscall.SysProcAttr) { a.Cloneflags = unix.CLONE_NEWPID | unix.CLONE_NEWNS }

func TestTwoPIDNamespacesRefuseEachOther(t *testing.T) { // T33, P-K7
	needNamespaces(t)
	for _, theirs := range []string{"our /proc", "a /proc of its own"} {
		t.Run(theirs, func(t *testing.T) {
			f, b := newBoard(t)
			b.m.OnOwnerDeath(func(int) error { t.Error("a repair ran"); return nil })
			stranger := startPeer(t, f, proctest.Attr(otherPIDs))
			if theirs != "our /proc" {
				stranger.do("mount", "ok")
			}
			stranger.do("repair ok", "ok", "lock", "held")
			word := b.m.word.Load()
			for range 3 {
				if err := lockInTime(t, &b.m); !errors.Is(err, ErrPIDNamespace) {
					t.Errorf("LockContext: %v, %v", err, b)
				}
			}
			if b.m.word.Load() != word {
				t.Errorf("the word was %#x; %v", word, b)
			}
			stranger.do("unlock", "free")
			if err := lockInTime(t, &b.m); !errors.Is(err, ErrPIDNamespace) {
				t.Errorf("after its unlock, LockContext: %v", err)
			}

			b.m = Mutex{} // a new one, which we have first
			mustHold(t, &b.m)
			word = b.m.word.Load()
			stranger.do("lockctx 1m", "foreign", "lock", "panic foreign")
			stranger.Kill()
			if b.m.word.Load() != word {
				t.Errorf("the word was %#x; %v", word, b)
			}
			b.m.Unlock()
			mustHold(t, &b.m)
			b.m.Unlock()
		})
	}
}

func TestAnotherTimeNamespaceIsTheSameTime(t *testing.T) { // T09
	needNamespaces(t)
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip(err)
	}
	const offset = 100000
	if out, err := exec.Command(unshare, "--time", "--boottime", itoa(offset), "true").CombinedOutput(); err != nil {
		t.Skipf("no time namespaces: %v, %s", err, out)
	}
	f, b := newBoard(t)
	b.m.OnOwnerDeath(func(int) error { t.Error("a repair ran"); return nil })
	p := startPeer(t, f, proctest.Wrap(unshare, "--time", "--boottime", itoa(offset)))
	p.Send("uptime")
	if n, err := strconv.Atoi(p.Line()); err != nil || n < int(uptime()/time.Second)+offset/2 {
		t.Skipf("the child is not in the time namespace: uptime %d, %v", n, err)
	}
	p.do("refuse robust", "ok", "lock", "held")
	mustWait(t, &b.m, 200*time.Millisecond)
	p.do("unlock", "free")
	mustHold(t, &b.m)
	p.do("repair ok", "ok", "lockctx 200ms", "deadline")
	b.m.Unlock()
	p.do("lock", "held")
	p.Kill()
	b.m.OnOwnerDeath(func(int) error { return nil })
	mustHold(t, &b.m)
	b.m.Unlock()
}

func init() {
	proctest.Register("graveyard", graveyard)
	proctest.Register("buried", func(c *proctest.Child) {
		c.Check(refuse(unix.SYS_SET_ROBUST_LIST))
		at[board](c.Memory(0), 0).m.Lock()
		c.Say("ready")
		unix.Pause()
	})
	proctest.Register("bystander", func(c *proctest.Child) {
		for range 20 {
			ready := make(chan bool)
			go func() {
				runtime.LockOSThread()
				ready <- true
				select {}
			}()
			<-ready
		}
		c.Say("ready")
		unix.Pause() // a select would be a deadlock to the runtime, and end the process
	})
}

// graveyard is process 1 of a PID namespace. It has an owner die whose death the
// kernel does not mark, gives its PID and TID to another process, and locks.
func graveyard(c *proctest.Child) {
	c.Check(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	c.Check(unix.Mount("proc", "/proc", "proc", 0, ""))
	b := at[board](c.Memory(0), 0)
	memory := os.NewFile(3, "memory")
	for try := range 50 {
		pid := 1000 + 100*try
		owner, born := reborn(c, "buried", pid, memory), now()
		for since(born) < 50*time.Millisecond { // start times are told in ticks of 10 ms
			time.Sleep(time.Millisecond)
		}
		tid := b.m.word.Load() & robust.TIDMask
		c.Check(owner.Process.Kill())
		owner.Wait()
		began := b.m.next.Load()
		other := reborn(c, "bystander", pid, memory)
		_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", pid, tid))
		if owner.Process.Pid == pid && other.Process.Pid == pid && err == nil {
			c.Sayf("process %d, thread %d, recycled; the identity is %#x", pid, tid, began)
			b.m.OnOwnerDeath(func(int) error { return nil })
			start := now()
			b.m.Lock()
			c.Sayf("%d", since(start))
			return
		}
		c.Check(other.Process.Kill())
		other.Wait()
		b.m = Mutex{}
	}
	c.Say("no luck")
}

// reborn starts a child function as the process pid, unless another thread gets
// that number first.
func reborn(c *proctest.Child, name string, pid int, memory *os.File) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "INTERLOCK_TEST_CHILD="+name)
	cmd.ExtraFiles = []*os.File{memory}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	c.Check(err)
	runtime.LockOSThread() // for Pdeathsig
	c.Check(os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(itoa(pid-1)), 0))
	c.Check(cmd.Start())
	line := make([]byte, 100)
	n, err := out.Read(line)
	c.Check(err)
	if !bytes.Equal(line[:n], []byte("ready\n")) {
		c.Fatalf("%s said %q", name, line[:n])
	}
	return cmd
}

func TestARecycledPIDDoesNotKeepTheDeadAlive(t *testing.T) { // T32
	needNamespaces(t, "graveyard", "buried", "bystander")
	proctest.Excuse("buried", "bystander") // the graveyard starts them
	f, _ := newBoard(t)
	p := proctest.Start(t, "graveyard", proctest.Files(f), proctest.Attr(otherPIDs))
	line := p.Line()
	if line == "no luck" {
		t.Skip("nobody got the number of the dead")
	}
	t.Log(line)
	ns, err := strconv.Atoi(p.Line())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("found dead after %v", time.Duration(ns))
	if proctest.TooLate(time.Duration(ns)) {
		t.Errorf("found dead after %v", time.Duration(ns))
	}
	p.WaitExit(0)
}
