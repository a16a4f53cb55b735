// What holds for owners in odd circumstances:
//   - one whose core is being dumped is not dead before the dump is over (T28, P-K19);
//   - one that is traced, or frozen, is not dead (T29, P-K8);
//   - one that belongs to another user, and one whom /proc hides, is neither taken for
//     dead while it lives nor for alive when it is dead, marked or not; one that has no
//     /proc is a stranger;
//   - one that has unmapped memory without Detach still leaves its other mutexes to
//     their heirs (P-K18).
package mutex

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

const nobody = 65534

func init() {
	// "odd owner" PREPARATION…: prepares itself, locks, and does what it is told.
	proctest.Register("odd owner", func(c *proctest.Child) {
		b := at[board](c.Memory(0), 0)
		for _, how := range c.Args {
			prepare(c, how)
		}
		b.m.Lock()
		b.before++
		c.Say("held")
		switch c.Recv() {
		case "unlock":
			b.before--
			b.m.Unlock()
			c.Say("free")
		case "crash": // with GOTRACEBACK=crash the runtime ends by SIGABRT
			panic("to dump core")
		}
	})
	// "odd waiter" PREPARATION…: the same, and it waits for so long as it is told.
	proctest.Register("odd waiter", func(c *proctest.Child) {
		b := at[board](c.Memory(0), 0)
		b.m.OnOwnerDeath(func(int) error { b.repair++; b.after = b.before; return nil })
		for _, how := range c.Args {
			prepare(c, how)
		}
		c.Say("ready")
		(&puppet{c: c, b: b}).obey()
	})
}

// obey is the life of a peer.
func (p *puppet) obey() {
	for {
		p.do(strings.Fields(p.c.Recv()))
	}
}

func prepare(c *proctest.Child, how string) {
	switch how {
	case "no robust list":
		c.Check(refuse(unix.SYS_SET_ROBUST_LIST))
	case "nobody":
		c.Check(syscall.Setuid(nobody))
	case "hidden":
		c.Check(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		c.Check(unix.Mount("proc", "/proc", "proc", 0, "hidepid=2"))
	case "no /proc":
		c.Check(unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		c.Check(unix.Mount("none", "/proc", "tmpfs", 0, ""))
	case "core":
		c.Check(unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}))
		c.Check(os.Chdir(c.Args[len(c.Args)-1]))
		(&puppet{c: c}).fatten(itoa(coreMiB))
	}
}

const coreMiB = 256

func oddOwner(t *testing.T, f *os.File, opts ...proctest.Option) *proctest.Proc {
	t.Helper()
	p := proctest.Start(t, "odd owner", append(opts, proctest.Files(f))...)
	p.Expect("held")
	return p
}

func TestAnOwnerWhoseCoreIsDumpedIsNotDeadYet(t *testing.T) { // T28, P-K19
	pattern, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if p := strings.TrimSpace(string(pattern)); err != nil || strings.ContainsAny(p, "|/") || p == "" {
		proctest.Excuse("odd owner")
		t.Skipf("no core file where the process is: core_pattern is %q, %v", p, err)
	}
	dir := t.TempDir()
	f, b := newBoard(t)
	waiter := startPeer(t, f)
	waiter.do("repair ok", "ok")
	owner := oddOwner(t, f, proctest.Args("core", dir), proctest.Env("GOTRACEBACK=crash"))
	waiter.asleep(t, "lock", 1)
	began := now()
	owner.Send("crash")
	waiter.Expect("held")
	size := coreSize(dir)
	t.Logf("from the panic to acquired, with a core of %d MiB: %v", size>>20, time.Duration(b.held.Load()-began))
	if s := owner.Wait(); !s.CoreDump() {
		t.Skipf("no core was dumped: %v", s)
	}
	if size < coreMiB<<20 || b.repair != 1 || b.before != b.after {
		t.Errorf("acquired when %d bytes of the core were written; %d repairs; pair %d, %d", size, b.repair, b.before, b.after)
	}
	waiter.do("unlock", "free")
}

// coreSize is the size of the largest file there.
func coreSize(dir string) (size int64) {
	files, _ := filepath.Glob(dir + "/*")
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			size = max(size, info.Size())
		}
	}
	return size
}

func init() {
	proctest.Register("tracer", func(c *proctest.Child) {
		runtime.LockOSThread() // a tracer is a thread
		tasks, _ := filepath.Glob("/proc/" + c.Args[0] + "/task/*")
		for _, task := range tasks {
			tid, _ := strconv.Atoi(filepath.Base(task))
			if err := errors.Join(unix.PtraceSeize(tid), unix.PtraceInterrupt(tid)); err != nil {
				c.Sayf("no ptrace here: %v", err)
				return
			}
			c.Until("it to stand still", func() bool {
				stat, _ := os.ReadFile(task + "/stat")
				return strings.Contains(string(stat), ") t ")
			})
		}
		c.Say("traced")
		c.Recv() // at its end they go on
	})
}

func TestATracedOwnerIsNotDead(t *testing.T) { // T29, P-K8
	proctest.Excuse("tracer")
	proctest.SkipEmulated(t, "nobody can trace")
	notDeadWhile(t, func(p *proctest.Proc) (undo func()) {
		// By another process: who waits for a child is told of its stops if he traces it.
		tracer := proctest.Start(t, "tracer", proctest.Args(itoa(p.Pid)))
		if line := tracer.Line(); line != "traced" {
			t.Skip(line)
		}
		return func() { tracer.Send("leave") }
	})
}

func TestAFrozenOwnerIsNotDead(t *testing.T) { // T29, P-K8
	notDeadWhile(t, func(p *proctest.Proc) (undo func()) {
		dir, state, cold, warm := freezer(t)
		set := func(file, what string) {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(what), 0); err != nil {
				t.Fatal(err)
			}
		}
		set("cgroup.procs", itoa(p.Pid))
		set(state, cold)
		proctest.Until(t, "it to be frozen", func() bool {
			b, _ := os.ReadFile(filepath.Join(dir, state))
			events, _ := os.ReadFile(filepath.Join(dir, "cgroup.events"))
			return strings.TrimSpace(string(b)) == "FROZEN" || strings.Contains(string(events), "frozen 1")
		})
		return func() { set(state, warm) }
	})
}

// freezer makes a cgroup of either version that can be frozen.
func freezer(t *testing.T) (dir, state, cold, warm string) {
	t.Helper()
	for _, x := range [][4]string{
		{"/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED"},
		{"/sys/fs/cgroup/unified", "cgroup.freeze", "1", "0"},
		{"/sys/fs/cgroup", "cgroup.freeze", "1", "0"},
	} {
		dir, err := os.MkdirTemp(x[0], "interlock-mutex")
		if err != nil {
			continue
		}
		t.Cleanup(func() {
			proctest.Until(t, "the cgroup is empty", func() bool { return !errors.Is(unix.Rmdir(dir), unix.EBUSY) })
		})
		if _, err := os.Stat(filepath.Join(dir, x[1])); err == nil {
			return dir, x[1], x[2], x[3]
		}
	}
	t.Skip("needs a cgroup with a freezer, and root, to make one below it")
	return
}

// notDeadWhile holds a mutex by an owner in odd circumstances, which begin with do and
// end with undo: nobody may take it meanwhile.
func notDeadWhile(t *testing.T, do func(p *proctest.Proc) (undo func())) {
	t.Helper()
	f, b := newBoard(t)
	owner := oddOwner(t, f)
	t.Cleanup(owner.Kill) // before the cgroup is removed
	undo := do(owner)
	waiter := startPeer(t, f)
	waiter.do("repair ok", "ok")
	d := proctest.Lasts(t, 300*time.Millisecond, time.Minute)
	waiter.Send("lockctx " + d.String())
	mustWait(t, &b.m, d)
	waiter.Expect("deadline")
	if b.m.TryLock() {
		t.Fatal("TryLock took what somebody alive holds")
	}
	waiter.asleep(t, "lock", 1)
	undo()
	owner.Send("unlock")
	waiter.Expect("held")
	waiter.do("unlock", "free")
	if b.repair != 0 {
		t.Error("the repair ran")
	}
	owner.Expect("free")
}

func TestOwnersOfOtherUsers(t *testing.T) { // T29
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	needNamespaces(t, "odd waiter")
	hide := proctest.Attr(func(a *syscall.SysProcAttr) { a.Cloneflags = unix.CLONE_NEWNS })
	for name, who := range map[string]struct{ owner, waiter []string }{
		"another user's":                       {[]string{"nobody"}, nil},
		"root's":                               {nil, []string{"nobody"}},
		"root's, whom /proc hides":             {nil, []string{"hidden", "nobody"}},
		"another user's, unmarked":             {[]string{"no robust list", "nobody"}, nil},
		"root's, unmarked":                     {[]string{"no robust list"}, []string{"nobody"}},
		"root's, whom /proc hides, unmarked":   {[]string{"no robust list"}, []string{"hidden", "nobody"}},
		"another user's, and nobody is at all": {[]string{"nobody"}, []string{"nobody"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, b := newBoard(t)
			owner := oddOwner(t, f, proctest.Args(who.owner...))
			waiter := peer{proctest.Start(t, "odd waiter", hide, proctest.Files(f), proctest.Args(who.waiter...))}
			if line := waiter.Line(); line != "ready" {
				t.Fatal(line)
			}
			waiter.do("lockctx 200ms", "deadline")
			if b.repair != 0 {
				t.Fatal("the repair ran, and the owner lives")
			}
			waiter.asleep(t, "lock", 1)
			killed := now()
			owner.Kill()
			waiter.Expect("held")
			d := time.Duration(b.held.Load() - killed)
			t.Logf("kill to acquired: %v", d)
			if proctest.TooLate(d) || b.repair != 1 || b.before != b.after {
				t.Errorf("%v; %d repairs; pair %d, %d", d, b.repair, b.before, b.after)
			}
			waiter.do("unlock", "free")
		})
	}
}

// Who has no /proc does not know its PID namespace: it is a stranger to all that have one,
// from its first call on, and no stranger to others without.
func TestWithoutProc(t *testing.T) { // T88, P-K7
	needNamespaces(t, "odd owner", "odd waiter")
	own := proctest.Attr(func(a *syscall.SysProcAttr) { a.Cloneflags = unix.CLONE_NEWNS })
	for name, unmarked := range map[string][]string{"marked": nil, "unmarked": {"no robust list"}} {
		t.Run(name, func(t *testing.T) {
			f, b := newBoard(t)
			owner := oddOwner(t, f, own, proctest.Args(append(unmarked, "no /proc")...))
			for range 3 {
				if err := lockInTime(t, &b.m); !errors.Is(err, ErrPIDNamespace) {
					t.Errorf("LockContext: %v, %v", err, b)
				}
			}
			waiter := peer{proctest.Start(t, "odd waiter", own, proctest.Files(f), proctest.Args("no /proc"))}
			waiter.Expect("ready")
			waiter.do("lockctx 200ms", "deadline")
			waiter.Send("lock")
			proctest.AwaitSleepers(t, waiter.Pid, 1)
			killed := now()
			owner.Kill()
			waiter.Expect("held")
			if d := time.Duration(b.held.Load() - killed); proctest.TooLate(d) || b.repair != 1 {
				t.Errorf("%v; %d repairs", d, b.repair)
			}
			waiter.do("unlock", "free")
		})
	}
}

func init() {
	proctest.Register("forgets to detach", func(c *proctest.Child) {
		first := at[board](c.Memory(0), 0)
		mem := c.Memory(1)
		other := at[board](mem, 0)
		first.m.Lock() // linked first, so the kernel's walk comes to it last
		other.m.Lock()
		other.m.Unlock()
		addr := other.m.addr()
		c.Check(unix.MunmapPtr(at0(mem), uintptr(len(mem))))
		if c.Args[0] == "another segment there" {
			third, err := fixed(int(c.File(2).Fd()), len(mem), addr, unix.PROT_READ|unix.PROT_WRITE)
			c.Check(err)
			at[board](third, 0).m.Lock()
		}
		first.died.Store(now())
		c.Check(unix.Kill(os.Getpid(), unix.SIGKILL))
		select {}
	})
}

func TestAForgottenDetachUnprotectsNothing(t *testing.T) { // P-K18, P-K4
	for _, then := range []string{"nothing there", "another segment there"} {
		t.Run(then, func(t *testing.T) {
			f, b := newBoard(t)
			other, _ := newBoard(t)
			third, c := newBoard(t)
			for _, m := range []*Mutex{&b.m, &c.m} {
				m.OnOwnerDeath(func(int) error { return nil })
			}
			p := proctest.Start(t, "forgets to detach", proctest.Files(f, other, third), proctest.Args(then))
			p.WaitKilled(unix.SIGKILL)
			marked, start := orphaned(&b.m), now()
			mustHold(t, &b.m)
			t.Logf("the kernel marked the one before it: %v; acquired in %v", marked, since(start))
			b.m.Unlock()
			mustHold(t, &c.m)
			c.m.Unlock()
		})
	}
}
