package proctest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/mark"
)

// Start runs a registered function in a child process.
func Start(t testing.TB, name string, opts ...Option) *Proc {
	t.Helper()
	lookup(name) // before a skip: a skipped test's children are not unused
	pl := newPlan(t, opts)
	cmd, err := pl.registered(name)
	if err != nil {
		t.Fatal(err)
	}
	return launch(t, name, cmd, pl)
}

// StartProgram runs any program as a child, one in C for instance. It takes part
// in the conversation with its standard input and output; flush after each line.
func StartProgram(t testing.TB, path string, opts ...Option) *Proc {
	t.Helper()
	pl := newPlan(t, opts)
	return launch(t, path, pl.command(append([]string{path}, pl.args...)...), pl)
}

func newPlan(t testing.TB, opts []Option) *plan {
	t.Helper()
	pl := &plan{}
	for _, o := range opts {
		o(pl)
	}
	if pl.mark != "" && !mark.Enabled {
		t.Skip("kills at a named mark: needs -tags marks")
	}
	return pl
}

// launch starts cmd with the pipes of the conversation.
func launch(t testing.TB, name string, cmd *exec.Cmd, pl *plan) *Proc {
	t.Helper()
	p, theirs, err := newProc(t, name, pl)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs[0], theirs[1], p.stderr
	err = starter.start(cmd)
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		p.closeFiles()
		t.Fatalf("proctest: start %s: %v", name, err)
	}
	p.cmd, p.Pid = cmd, cmd.Process.Pid
	mu.Lock()
	alive[p] = true
	started[p.Pid] = true
	mu.Unlock()
	go p.read()
	go p.reap()
	t.Cleanup(p.finish)
	return p
}

// newProc makes the pipes; theirs are the child's ends: standard input, output.
func newProc(t testing.TB, name string, pl *plan) (p *Proc, theirs [2]*os.File, err error) {
	p = &Proc{t: t, name: name, races: pl.races,
		lines: make(chan string), over: make(chan struct{}),
		dead: make(chan struct{}), release: make(chan struct{}), reaped: make(chan struct{})}
	if !pl.zombie {
		p.letReap()
	}
	if theirs[0], p.in, err = os.Pipe(); err == nil {
		p.out, theirs[1], err = os.Pipe()
	}
	if err == nil {
		p.stderr, err = logFile(name)
	}
	return p, theirs, err
}

// logFile is where a child's standard error goes: memory, so that it needs no
// reader and is complete whatever happens to the child.
func logFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate("stderr of "+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), "stderr of "+name), nil
}

// starter starts all children from one thread that never ends. PDEATHSIG fires
// at the end of the *thread* that forked, not of the process: from any other
// thread a child could be killed at random.
var starter starterThread

type starterThread struct {
	once sync.Once
	todo chan func()
}

func (s *starterThread) start(cmd *exec.Cmd) error {
	s.once.Do(func() {
		s.todo = make(chan func())
		go func() {
			runtime.LockOSThread()
			for f := range s.todo {
				f()
			}
		}()
	})
	done := make(chan error)
	s.todo <- func() { done <- cmd.Start() }
	return <-done
}
