package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"interlock/stress/internal/ptrace"
)

// stepper moves a process instruction by instruction. To the kernel a tracer is a thread
// (P-G1), so a goroutine that never leaves its thread does it, order by order.
type stepper struct {
	code   *code
	entry  uintptr // of the program
	first  uintptr // step of it
	last   uintptr
	home   uintptr
	orders chan order
	ended  chan struct{}
	news   chan<- struct{}

	mu       sync.Mutex
	at       int
	isHome   bool
	standing bool
	regs     []ptrace.Register
}

type order int

const (
	orderStep order = iota
	orderHome
)

// startCPU starts a process under trace. It stands at home when it is first heard of.
func (l *Lab) startCPU(place int, stderr *os.File) (mover, int, error) {
	s := &stepper{code: l.code, entry: l.program.entry(), home: homeAddress(), news: l.news,
		first: uintptr(l.code.lines[l.code.first].Addr), last: uintptr(l.code.lines[l.code.last].Addr),
		orders: make(chan order, 1), ended: make(chan struct{})} // orders: the next is given only when it stands
	type start struct {
		pid int
		err error
	}
	started := make(chan start)
	go func() {
		runtime.LockOSThread() // for life: the thread goes with the goroutine
		defer close(s.ended)
		pid, err := l.start(place, stderr)
		if err != nil {
			started <- start{err: err}
			return
		}
		t, err := s.attach(pid, &l.b.Seats[place])
		if err != nil {
			kill(pid)
			reap(pid)
			started <- start{err: err}
			return
		}
		started <- start{pid: pid}
		s.follow(t)
	}()
	st := <-started
	return s, st.pid, st.err
}

// attach begins to trace a process that waits at its gate, and lets it go on.
func (s *stepper) attach(pid int, seat *seat) (*ptrace.Tracee, error) {
	if err := awaitReady(pid, seat, s.entry); err != nil {
		return nil, err
	}
	t, err := ptrace.Attach(pid)
	if err != nil {
		return nil, err
	}
	if err := s.region(t, true); err != nil {
		t.Close()
		return nil, err
	}
	t.Start(ptrace.Step)
	_ = seat.Gate.Release() // it waits for this one
	return t, nil
}

// region says where the process is to stop: at home, and, if it is stepped, before each
// instruction that matters.
func (s *stepper) region(t *ptrace.Tracee, stepped bool) error {
	if err := t.Clear(); err != nil {
		return err
	}
	entries := []uintptr{s.home}
	if stepped {
		entries = append(entries, s.first)
	}
	return t.Region(func(pc uintptr) bool { return pc == s.home || stepped && s.first <= pc && pc <= s.last }, entries)
}

// follow carries out one order after the other, until the process is killed.
func (s *stepper) follow(t *ptrace.Tracee) {
	defer t.Close()
	var stop ptrace.Stop
	passing := false // the first step is not stopped at, on the way there from home, but behind it
	on := func(at ptrace.Stop) ptrace.Verdict {
		if passing && at.PC == s.first {
			passing = false
			return ptrace.GoOn
		}
		stop = at
		return ptrace.Halt
	}
	err := t.Follow(ptrace.Step, on)
	for err == nil {
		regs, _ := t.Registers(stop) // an error: it is being killed
		s.arrive(stop.PC, regs)
		o, ok := <-s.orders
		if !ok {
			break
		}
		if o == orderHome {
			err = s.runHome(t, &stop)
			continue
		}
		passing = stop.PC == s.home
		if err = t.Resume(stop, ptrace.Step); err == nil {
			err = t.Follow(ptrace.Step, on)
		}
	}
	if err != nil && !errors.Is(err, ptrace.ErrGone) {
		fmt.Fprintln(os.Stderr, "stress: ", err)
	}
	t.Kill()
	t.Reap()
	s.arrive(0, nil)
}

// runHome lets the process run at full speed until it comes home.
func (s *stepper) runHome(t *ptrace.Tracee, stop *ptrace.Stop) error {
	if err := s.region(t, false); err != nil {
		return err
	}
	if err := t.Resume(*stop, ptrace.Step); err != nil {
		return err
	}
	err := t.Follow(ptrace.Step, func(at ptrace.Stop) ptrace.Verdict {
		*stop = at
		return ptrace.Halt
	})
	if err != nil {
		return err
	}
	return s.region(t, true)
}

// arrive notes where the process stands.
func (s *stepper) arrive(pc uintptr, regs []ptrace.Register) {
	s.mu.Lock()
	s.isHome, s.at, s.regs, s.standing = pc == s.home, max(s.code.first, s.code.index(pc)), regs, true
	s.mu.Unlock()
	tell(s.news)
}

func (s *stepper) place() (at int, home, standing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at, s.isHome, s.standing
}

func (s *stepper) registers() []ptrace.Register {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.regs
}

func (s *stepper) step() error   { return s.order(orderStep) }
func (s *stepper) goHome() error { return s.order(orderHome) }

func (s *stepper) order(o order) error {
	s.mu.Lock()
	s.standing = false
	s.mu.Unlock()
	s.orders <- o
	return nil
}

func (s *stepper) release() {
	close(s.orders)
	<-s.ended
}
