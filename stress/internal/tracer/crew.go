package tracer

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/procfs"
)

// limit is how long anything may take before it is a hang. A second is typical of
// nothing here: what is awake answers in microseconds, what a look finds in 100 ms.
const limit = 10 * time.Second

var errHang = errors.New("hangs")

// A member is a process that plays a part, seen from here.
type member struct {
	name  string
	place int // in stage.Looks
	pid   int
	in    *os.File
	out   *os.File
	lines chan string // what it has answered; closed when it has ended
	base  uint64      // where it sees the stage
	owes  bool        // it has not answered yet
	inC   bool

	// When it got its last order, or began to wait for something else; when it had its
	// result; and how often it had looked at both times.
	told      int64
	looksTold uint32
	result    string
	at        int64
	looks     uint32
	counter   *atomic.Uint32 // of its looks; nil: it does not count
}

// environment keeps the runtime of a process from doing what nobody asked for at
// times that nobody can repeat. No victim lives long enough to need a collection; survivors
// play thousands of rounds.
func environment() []string {
	return append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "GOGC=off", "GOMEMLIMIT=200MiB", "GOMAXPROCS=2", "GOTRACEBACK=all")
}

// An executable is what a member runs.
type executable struct {
	path  string
	place int // in stage.Looks; nobody: it does not count its looks
	inC   bool
}

// this program, as an actor.
func this(place int) executable { return executable{path: "/proc/self/exe", place: place} }

// startMember starts one. The calling goroutine is locked to its thread: the kernel
// ends a child with the thread that forked it.
func startMember(name string, p executable, stage, stderr *os.File) (*member, error) {
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer inR.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		inW.Close()
		return nil, err
	}
	defer outW.Close()
	m := &member{name: name, place: p.place, in: inW, out: outR, lines: make(chan string, 1), inC: p.inC}
	proc, err := os.StartProcess(p.path, []string{"stress", ActorCommand, strconv.Itoa(p.place)}, &os.ProcAttr{
		Env:   environment(),
		Files: []*os.File{inR, outW, stderr, stage},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true},
	})
	if err != nil {
		m.closeFiles()
		return nil, fmt.Errorf("starting a process: %w", err)
	}
	m.pid = proc.Pid
	_ = proc.Release() // it is reaped by its number
	m.owes = true
	go m.read()
	return m, nil
}

// greet waits until it is there.
func (m *member) greet() error {
	if err := m.await(); err != nil {
		return err
	}
	base, end, _ := strings.Cut(m.result, ",")
	var err error
	if m.base, err = strconv.ParseUint(base, 10, 64); err != nil {
		return fmt.Errorf("%s said %q", m.name, m.result)
	}
	if !m.inC && end != strconv.FormatUint(uint64(endAddress()), 10) {
		return errors.New("this program is not at the same addresses in each process: build it without -buildmode=pie")
	}
	return nil
}

// tell gives an order, and does not wait for the answer.
func (m *member) tell(format string, args ...any) error {
	if m.owes {
		return fmt.Errorf("%s gets an order and owes an answer", m.name)
	}
	m.owes = true
	m.restart()
	_, err := fmt.Fprintf(m.in, format+"\n", args...)
	return err
}

// restart says that what it waits for is to come only now.
func (m *member) restart() {
	m.told = arena.Now()
	if m.counter != nil {
		m.looksTold = m.counter.Load()
	}
}

// await waits for the answer.
func (m *member) await() error { return m.awaitFor(limit) }

func (m *member) awaitFor(d time.Duration) error {
	if !m.owes {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case line, ok := <-m.lines:
		if !ok {
			return fmt.Errorf("%s has ended", m.name)
		}
		m.owes = false
		_, err := fmt.Sscan(line, &m.result, &m.at, &m.looks)
		return err
	case <-t.C:
		return fmt.Errorf("%s %w", m.name, errHang)
	}
}

func (m *member) read() {
	defer close(m.lines)
	for s := bufio.NewScanner(m.out); s.Scan(); {
		m.lines <- s.Text()
	}
}

// answered reports whether await need not wait.
func (m *member) answered() bool { return !m.owes || len(m.lines) > 0 }

// ask tells, and waits for an answer that must be ok.
func (m *member) ask(format string, args ...any) error {
	if err := m.tell(format, args...); err != nil {
		return err
	}
	return m.expect("ok")
}

func (m *member) expect(want string) error {
	if err := m.await(); err != nil {
		return err
	}
	if m.result != want {
		return fmt.Errorf("%s said %q, not %q", m.name, m.result, want)
	}
	return nil
}

// asleep reports whether a thread of it sleeps in the kernel for a word of the stage.
func (m *member) asleep(offset uintptr) bool {
	n, ok := procfs.Sleepers(m.pid, m.base+uint64(offset))
	return ok && n > 0
}

// awaitAsleep waits until it sleeps for a word.
func (m *member) awaitAsleep(offset uintptr) error {
	nap := napMin
	for begin := time.Now(); !m.asleep(offset); nap = min(2*nap, napMax) {
		if time.Since(begin) > limit {
			return fmt.Errorf("%s does not go to sleep", m.name)
		}
		time.Sleep(nap)
	}
	return nil
}

func (m *member) kill() { _ = unix.Kill(m.pid, unix.SIGKILL) }

// end kills it and reaps it.
func (m *member) end() {
	m.kill()
	for {
		_, err := unix.Wait4(m.pid, nil, unix.WALL, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	m.closeFiles()
}

func (m *member) closeFiles() {
	m.in.Close()
	m.out.Close()
}
