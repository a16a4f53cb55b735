package mutex

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/futex"
	"interlock/internal/proc"
	"interlock/internal/proctest"
	"interlock/internal/robust"
)

// A peer is another process that does to the board's mutex what the test says,
// a line each, and answers with a line. See (*puppet).do.
type peer struct{ *proctest.Proc }

func startPeer(t testing.TB, f *os.File, opts ...proctest.Option) peer {
	t.Helper()
	return peer{proctest.Start(t, "peer", append(opts, proctest.Files(f))...)}
}

// do sends the peer each order and expects its answer: pairs of order and answer.
func (p peer) do(ordersAndAnswers ...string) {
	for i := 0; i < len(ordersAndAnswers); i += 2 {
		p.Send(ordersAndAnswers[i])
		p.Expect(ordersAndAnswers[i+1])
	}
}

// asleep sends an order that must block, and returns when n goroutines' worth
// of it sleep in the kernel.
func (p peer) asleep(t testing.TB, order string, n int) {
	t.Helper()
	p.Send(order)
	proctest.AwaitSleepers(t, p.Pid, n)
}

func init() {
	proctest.Register("peer", func(c *proctest.Child) {
		p := &puppet{c: c, b: at[board](c.Memory(0), 0)}
		for {
			p.do(strings.Fields(c.Recv()))
		}
	})
}

// A puppet is the peer's side.
type puppet struct {
	c     *proctest.Child
	b     *board
	large []byte // address space whose page tables take long to clear
}

// do carries out one order:
//
//	lock, try, lockctx [DUR]   answer "held", "busy" or why not; notes the time
//	go ORDER…                  the same in a goroutine, which answers when it is over
//	unlock                     "free" or "panic …"
//	pass                       lock, at once unlock: "passed"
//	repair HOW                 registers a repair: ok, error, panic, condemn, ask, nil
//	tear                       adds to `before` but not to `after`
//	abandon                    frees the word without the wake that is due, and dies (P-M1)
//	thief                      sleeps on the word, uses up a wake, and dies (P-M2)
//	refuse robust|waitv        a seccomp filter
//	fat MIB                    has that much memory
//	doom                       prepares for linger
//	linger                     "lingering", then a system call of some 50 ms that no signal ends
//	mount                      mounts the /proc of its own PID namespace
//	uptime                     seconds since boot, in its own time namespace
//	die HOW                    see die
//	spawn                      starts children of its own, and sees them die
func (p *puppet) do(order []string) {
	m, say := &p.b.m, p.c.Say
	switch order[0] {
	case "lock", "try", "lockctx":
		say(p.lock(order))
	case "go":
		go p.do(order[1:])
	case "unlock":
		p.b.freed.Store(now())
		if v := panicked(m.Unlock); v != nil {
			say(told(v))
			return
		}
		say("free")
	case "pass":
		m.Lock()
		p.b.held.Store(now())
		p.b.freed.Store(now())
		m.Unlock()
		say("passed")
	case "repair":
		m.OnOwnerDeath(p.repair(order[1]))
		say("ok")
	case "tear":
		p.b.before++
		say("ok")
	case "abandon":
		tid := proc.TID(proc.Me())
		if !m.word.CompareAndSwap(tid|robust.Waiters, 0) {
			p.c.Fatalf("nobody waits: %v", p.b)
		}
		p.die("kill")
	case "thief":
		p.c.Check(futex.Wait(&m.word, m.word.Load()))
		p.die("kill")
	case "refuse":
		p.c.Check(refuse(map[string]int{"robust": unix.SYS_SET_ROBUST_LIST, "waitv": unix.SYS_FUTEX_WAITV}[order[1]]))
		say("ok")
	case "die":
		p.die(order[1])
	case "spawn":
		p.spawn()
		say("ok")
	case "doom":
		p.doom()
		say("ok")
	case "linger":
		say("lingering")
		p.c.Check(unix.Madvise(p.large, unix.MADV_DONTNEED))
	case "mount":
		p.c.Check(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		p.c.Check(unix.Mount("proc", "/proc", "proc", 0, ""))
		say("ok")
	case "uptime":
		say(itoa(int(uptime() / time.Second)))
	case "fat":
		p.fatten(order[1])
		say("ok")
	default:
		p.c.Fatalf("unknown order %q", order)
	}
}

// lock locks in the way of the order. A peer that gets the lock counts.
func (p *puppet) lock(order []string) (said string) {
	m := &p.b.m
	defer func() {
		if v := recover(); v != nil {
			said = told(v)
		}
	}()
	switch {
	case order[0] == "try":
		if !m.TryLock() {
			return "busy"
		}
	case order[0] == "lock":
		m.Lock()
	default:
		ctx := context.Background()
		if len(order) > 1 {
			d, err := time.ParseDuration(order[1])
			p.c.Check(err)
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, d)
			defer cancel()
		}
		if err := m.LockContext(ctx); err != nil {
			return answer(err)
		}
	}
	p.b.held.Store(now())
	p.b.count++
	return "held"
}

func (p *puppet) repair(how string) func(int) error {
	heal := func() error {
		p.b.repair++
		p.b.after = p.b.before
		return nil
	}
	return map[string]func(int) error{
		"nil":     nil,
		"ok":      func(int) error { return heal() },
		"error":   func(int) error { return errRepair },
		"panic":   func(int) error { panic("the repair panics") },
		"condemn": func(int) error { return fmt.Errorf("beyond hope: %w", ErrNotRecoverable) },
		"ask": func(pid int) error {
			p.c.Sayf("repairing after %d", pid)
			return p.repair(p.c.Recv())(pid)
		},
	}[how]
}

// die ends the process in a way that an owner can.
func (p *puppet) die(how string) {
	p.b.died.Store(now())
	switch how {
	case "kill":
		p.c.Check(unix.Kill(os.Getpid(), unix.SIGKILL))
	case "group":
		p.c.Check(unix.Kill(-os.Getpid(), unix.SIGKILL))
	case "exit":
		os.Exit(3)
	case "panic":
		go panic("nobody recovers")
	case "segv":
		p.c.Check(unix.Kill(os.Getpid(), unix.SIGSEGV))
	case "nil":
		go func() { *nowhere = 1 }()
	case "exec":
		p.c.Check(unix.Exec("/bin/sleep", []string{"sleep", "3600"}, os.Environ()))
	default:
		p.c.Fatalf("unknown death %q", how)
	}
	for { // a select would be a deadlock to the runtime, and another death
		unix.Pause()
	}
}

var nowhere *int

// spawn has children that end by themselves and by force.
func (p *puppet) spawn() {
	p.c.Check(exec.Command("true").Run())
	cmd := exec.Command("sleep", "3600")
	p.c.Check(cmd.Start())
	p.c.Check(cmd.Process.Kill())
	cmd.Wait() // killed, says its error
}

func (p *puppet) fatten(mib string) {
	var n int
	_, err := fmt.Sscan(mib, &n)
	p.c.Check(err)
	_, err = unix.Mmap(-1, 0, n<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	p.c.Check(err)
}

// doom maps the zero page a million times: page tables, and no memory.
func (p *puppet) doom() {
	var err error
	p.large, err = unix.Mmap(-1, 0, 4<<30, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	p.c.Check(err)
	p.c.Check(unix.Madvise(p.large, unix.MADV_NOHUGEPAGE))
	p.c.Check(unix.Madvise(p.large, unix.MADV_POPULATE_READ))
}
