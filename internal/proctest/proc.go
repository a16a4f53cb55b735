package proctest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Proc is a child process, seen from the test. Its methods fail the test when
// the child does not do its part; call them from the test's own goroutine.
type Proc struct {
	Pid int

	t           testing.TB
	name        string
	races       bool // the race detector may report in it
	cmd         *exec.Cmd
	in, out     *os.File // our ends of its standard input and output
	stderr      *os.File // a memfd: all it wrote there
	lines       chan string
	over        chan struct{} // closed at the end of the test: stop reading
	dead        chan struct{} // closed once it has died; it may still be a zombie
	release     chan struct{} // closed when it may be reaped
	releaseOnce sync.Once
	reaped      chan struct{} // closed once it is reaped
	finishOnce  sync.Once

	mu    sync.Mutex
	said  []string // what it said, for the report
	asked bool     // the test has asked for, or looked at, its end
}

// A Status is how a process ended: Exited, ExitStatus, Signaled, Signal.
type Status = syscall.WaitStatus

// statusString tells how a process ended in words.
func statusString(s Status) string {
	switch {
	case s.Exited():
		return fmt.Sprintf("exit status %d", s.ExitStatus())
	case s.Signaled():
		return fmt.Sprintf("killed by %v", s.Signal())
	}
	return fmt.Sprintf("wait status %#x", int(s))
}

// read passes the child's lines on until it closes its standard output.
func (p *Proc) read() {
	defer close(p.lines)
	s := bufio.NewScanner(p.out)
	s.Buffer(nil, 1<<24)
	for s.Scan() {
		p.mu.Lock()
		p.said = append(p.said, s.Text())
		p.mu.Unlock()
		select {
		case p.lines <- s.Text():
		case <-p.over:
			return
		}
	}
}

// reap notices the child's death, and reaps it when it may.
func (p *Proc) reap() {
	waitFor(p.Pid, unix.WEXITED)
	close(p.dead)
	<-p.release
	p.cmd.Wait() // its error is the status, which Wait reports
	mu.Lock()
	delete(alive, p)
	mu.Unlock()
	close(p.reaped)
}

// waitFor waits for a change of state of a child without consuming it.
func waitFor(pid, what int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, what|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return // ECHILD: reaped meanwhile, so it is no more
		}
	}
}

func (p *Proc) letReap() { p.releaseOnce.Do(func() { close(p.release) }) }

func (p *Proc) ask() {
	p.mu.Lock()
	p.asked = true
	p.mu.Unlock()
}

// Line returns the next line the child says.
func (p *Proc) Line() string {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.fatalf("it ended, or closed its output, where a line was awaited")
		}
		return line
	case <-time.After(Patience):
		p.fatalf("it said nothing for %v", Patience)
	}
	panic("unreachable")
}

// Expect waits for the next line, which must be this one.
func (p *Proc) Expect(line string) {
	p.t.Helper()
	if got := p.Line(); got != line {
		p.fatalf("it said %q, not %q", got, line)
	}
}

// Silent fails the test if the child says anything during d. It is for what must
// not happen: a wait that is not over. It cannot prove that; a longer d only makes
// a defect likelier to show.
func (p *Proc) Silent(d time.Duration) {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.fatalf("it ended, or closed its output, where it had to wait")
		}
		p.fatalf("it said %q where it had to wait", line)
	case <-time.After(d):
	}
}

// Send sends the child a line, which it Recvs.
func (p *Proc) Send(line string) {
	p.t.Helper()
	if _, err := p.in.WriteString(line + "\n"); err != nil {
		p.fatalf("Send %q: %v", line, err)
	}
}

// Signal sends any signal to the child.
func (p *Proc) Signal(sig unix.Signal) {
	p.t.Helper()
	// Not by pid: once the child is reaped that may be a stranger's.
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.fatalf("signal %v: %v", sig, err)
	}
}

// Kill kills the child with SIGKILL and returns when it is gone: reaped, or a
// zombie if the option Zombie asks for one. A child that had failed by itself
// before fails the test.
func (p *Proc) Kill() {
	p.t.Helper()
	p.ask()
	p.cmd.Process.Kill() // an error says that it has ended; how is looked at below
	p.await(p.dead, "did not end")
	select {
	case <-p.release:
	default:
		return // a zombie, as asked for
	}
	<-p.reaped
	if s := p.status(); s != 0 && s.Signal() != unix.SIGKILL {
		p.fatalf("it had ended by itself: %s", statusString(s))
	}
}

// Bury kills the child and closes all that the test has of it, which else stays open
// until the test ends: for thousands of children, one after the other.
func (p *Proc) Bury() {
	p.t.Helper()
	p.Kill()
	p.finish()
}

// Stop stops the child with SIGSTOP and returns when all its threads stand still.
func (p *Proc) Stop() {
	p.t.Helper()
	p.Signal(unix.SIGSTOP)
	p.AwaitStop()
}

// AwaitStop returns when all threads of the child are stopped, as by a mark.
func (p *Proc) AwaitStop() {
	p.t.Helper()
	stopped := make(chan struct{})
	go func() {
		waitFor(p.Pid, unix.WSTOPPED|unix.WEXITED)
		close(stopped)
	}()
	p.await(stopped, "did not stop")
	if state := procState(p.Pid); state != "T" {
		p.fatalf("it is in state %q instead of stopped", state)
	}
}

// Cont lets a stopped child go on.
func (p *Proc) Cont() {
	p.t.Helper()
	p.Signal(unix.SIGCONT)
}

// AwaitDeath returns when the child has died, by whatever cause, without reaping it.
func (p *Proc) AwaitDeath() {
	p.t.Helper()
	p.ask()
	p.await(p.dead, "did not end")
}

// Wait waits for the child's own end, reaps it and returns how it ended.
func (p *Proc) Wait() Status {
	p.t.Helper()
	p.AwaitDeath()
	p.letReap()
	<-p.reaped
	return p.status()
}

// status is how it ended, once it is reaped.
func (p *Proc) status() Status { return p.cmd.ProcessState.Sys().(syscall.WaitStatus) }

// WaitExit waits for the child's own end, which must be exit with this code.
func (p *Proc) WaitExit(code int) {
	p.t.Helper()
	if s := p.Wait(); !s.Exited() || s.ExitStatus() != code {
		p.fatalf("it ended with %s, not exit status %d", statusString(s), code)
	}
}

// WaitKilled waits for the child's end, which must be by this signal: a mark's
// SIGKILL, a SIGSEGV.
func (p *Proc) WaitKilled(sig unix.Signal) {
	p.t.Helper()
	if s := p.Wait(); !s.Signaled() || s.Signal() != sig {
		p.fatalf("it ended with %s, not by %v", statusString(s), sig)
	}
}

func (p *Proc) await(c <-chan struct{}, what string) {
	p.t.Helper()
	select {
	case <-c:
	case <-time.After(Patience):
		p.fatalf("it %s for %v", what, Patience)
	}
}

func (p *Proc) fatalf(format string, args ...any) {
	p.t.Helper()
	p.t.Fatalf("child %s, pid %d: %s", p.name, p.Pid, fmt.Sprintf(format, args...))
}

// finish runs in t.Cleanup. A child that ended badly before anybody asked for its
// end fails the test: its part of it was not done.
func (p *Proc) finish() { p.finishOnce.Do(p.conclude) }

func (p *Proc) conclude() {
	select {
	case <-p.dead:
		p.letReap()
		<-p.reaped
		if state := p.cmd.ProcessState; !p.asked && !state.Success() {
			p.t.Errorf("child %s, pid %d, died unasked: %v", p.name, p.Pid, state)
		}
	default:
		if p.t.Failed() {
			p.t.Logf("%s", Describe(p.Pid)) // where it hangs, perhaps
		}
		p.cmd.Process.Kill()
		p.letReap()
		<-p.reaped
	}
	if !p.races && strings.Contains(p.Output(), "WARNING: DATA RACE") {
		p.t.Errorf("child %s, pid %d: the race detector reports", p.name, p.Pid)
	}
	if p.t.Failed() {
		p.t.Logf("child %s, pid %d: %v\n%s", p.name, p.Pid, p.cmd.ProcessState, p.Output())
	}
	close(p.over)
	p.closeFiles()
}

// closeFiles closes our ends of the conversation.
func (p *Proc) closeFiles() {
	for _, f := range []*os.File{p.in, p.out, p.stderr} {
		f.Close()
	}
}

// Output returns what the child said and wrote to standard error so far.
func (p *Proc) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := io.ReadAll(io.NewSectionReader(p.stderr, 0, 1<<20))
	if err != nil {
		log = []byte(err.Error())
	}
	return fmt.Sprintf("said: %q\nstandard error:\n%s", p.said, log)
}
