package tracer

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/leftover"
	"interlock/stress/internal/ptrace"
)

// An engine plays rounds, one after the other, with survivors that stay and a new
// victim each time. It belongs to one goroutine that is locked to its thread.
type engine struct {
	text    *text
	file    *os.File
	mem     []byte
	st      *stage
	stderr  *os.File
	members []*member
	peers   []*member // C programs
	end     uintptr   // where a victim is done

	orphan   []byte // a mutex whose owner died
	orphanOf uint32
}

func newEngine() (*engine, error) {
	e := &engine{text: newText(), end: endAddress()}
	fd, err := unix.MemfdCreate("interlock-tracer-stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("tracer: memfd_create: %w", err)
	}
	e.stderr = os.NewFile(uintptr(fd), "stderr")
	if e.file, e.mem, err = makeStage(); err != nil {
		e.stderr.Close()
		return nil, err
	}
	e.st = arena.At[stage](e.mem, 0)
	return e, nil
}

func (e *engine) close() {
	e.dismiss()
	_ = unix.Munmap(e.mem)
	e.file.Close()
	e.stderr.Close()
}

// dismiss ends the survivors: after a failure nobody knows where they stand.
func (e *engine) dismiss() {
	for _, m := range append(e.members, e.peers...) {
		m.end()
	}
	e.members, e.peers = nil, nil
}

// survivors makes sure that there are three.
func (e *engine) survivors() error {
	for place := placeA + len(e.members); place < places; place++ {
		m, err := startMember("survivor "+string(rune('A'+place-placeA)), this(place), e.file, e.stderr)
		if err != nil {
			return err
		}
		m.counter = &e.st.Looks[place]
		e.members = append(e.members, m)
		if err := m.greet(); err != nil {
			return err
		}
	}
	return nil
}

// crew is everybody that rounds beside such a crowd need.
func (e *engine) crew(c crowd) error {
	err := e.survivors()
	if err == nil && c == inC {
		err = e.company()
	}
	if err == nil && e.orphan == nil {
		err = e.leaveOrphan()
	}
	return err
}

// An outcome is what a round has shown.
type outcome struct {
	reached bool    // the goal
	at      uintptr // where, if the goal was any of several
	held    bool
	slowest time.Duration
	left    int   // how often a C program was found asleep beside a free mutex
	looked  bool  // a waiter to whom a wake was due had looked by the time it went on
	err     error // what must not be
}

// A watch sees where the victim comes by.
type watch struct {
	instruction func(pc uintptr)
	call        func(pc uintptr, nr int, slept bool)
	any         map[uintptr]bool // it is killed at the first of these
}

// errSetup: nothing has been shown.
var errSetup = errors.New("cannot be set up")

// play plays one round.
func (e *engine) play(p *play, c crowd, g goal, m ptrace.Mode, w watch) (o outcome) {
	if err := e.crew(c); err != nil {
		return outcome{err: fmt.Errorf("%w: %w", errSetup, err)}
	}
	clear(e.mem)
	e.st.Owner.Store(uint64(os.Getpid()))
	e.st.Start.Store(leftover.StartTime(os.Getpid()))
	e.st.Number.Store(numbers.Add(1))
	r := &round{play: p, crowd: c, st: e.st, a: e.members[0], b: e.members[1], c: e.members[2],
		orphan: e.orphan, orphanOf: e.orphanOf, opened: make(chan struct{}), dead: make(chan struct{})}
	if c == inC {
		r.a, r.c = e.peers[0], e.peers[1]
		r.shareWithC()
	}
	var err error
	if r.v, err = e.victim(p); err != nil {
		return outcome{err: fmt.Errorf("%w: %w", errSetup, err)}
	}
	defer r.v.closeFiles()
	if p.first {
		if r.first, err = e.owner(c); err != nil {
			r.v.end()
			return outcome{err: fmt.Errorf("%w: %w", errSetup, err)}
		}
		defer r.first.end()
	}
	verdict := make(chan error, 1)
	go func() { verdict <- p.script(r) }()
	select {
	case <-r.opened:
	case err := <-verdict:
		r.v.end()
		e.dismiss()
		return outcome{err: fmt.Errorf("%w: %w", errSetup, err)}
	}
	h := &hunt{e: e, r: r, goal: g, watch: w}
	traced := h.run(m)
	o = outcome{reached: h.reached, at: h.at, held: r.truth.held}
	o.err = errors.Join(traced, <-verdict, r.faults())
	o.slowest, o.looked, o.left = r.slowest, r.looked, r.left
	if o.err != nil {
		o.err = fmt.Errorf("%w%s", o.err, e.complaints())
		e.dismiss()
	}
	return o
}

// shareWithC makes the mutex one that C programs can use, where there are any.
func (r *round) shareWithC() {
	if r.crowd == inC {
		_ = r.st.M.Init() // the memory is ours
	}
}

// owner starts a process that holds the mutex.
func (e *engine) owner(c crowd) (m *member, err error) {
	if c == inC {
		m, err = e.startPeer("the first owner, in C")
	} else if m, err = startMember("the first owner", this(nobody), e.file, e.stderr); err == nil {
		err = m.greet()
	}
	if err == nil {
		err = m.ask("hold")
	}
	if err != nil && m != nil {
		m.end()
		return nil, err
	}
	return m, nil
}

// numbers of rounds make names.
var numbers atomic.Uint64

// victim starts one, as far as it is not traced.
func (e *engine) victim(p *play) (*member, error) {
	v, err := startMember("the victim", this(nobody), e.file, e.stderr)
	if err != nil {
		return nil, err
	}
	if err = v.greet(); err == nil {
		err = v.ask("prepare %d", slices.Index(plays(), p))
	}
	if err != nil {
		v.end()
		return nil, err
	}
	return v, nil
}

// complaints is the beginning of what processes wrote to standard error, to be told once.
func (e *engine) complaints() string {
	text := make([]byte, 1024)
	n, _ := e.stderr.ReadAt(text, 0)
	_ = e.stderr.Truncate(0)
	if n == 0 {
		return ""
	}
	return "\n" + strings.TrimSpace(string(text[:n]))
}
