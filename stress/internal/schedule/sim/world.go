package sim

import (
	"fmt"
	"runtime"
	"slices"
)

// Config is what an execution is to do.
type Config struct {
	Processes [][]string                // for each process, the role of each of its goroutines
	Chooser   Chooser                   // what happens at each point
	Kill      bool                      // whether processes may be killed
	Mortal    func(p *Process) bool     // whether a process may be killed just now; nil: always
	Strict    bool                      // no death can take a wake along, so nobody may have to wait for a look
	Late      bool                      // whether threads of the killed may run on for a while
	Trace     bool                      // write down every step
	NoWaitv   bool                      // the kernel has no futex_waitv
	Pooled    bool                      // nobody gets a thread of his own to sleep with
	Excused   func() bool               // whether those who wait for ever have a reason to, given who died
	Final     func() string             // what is wrong at the end, if nothing was before
	Watch     func(at, was, now uint64) // is told of each change of shared memory, by offset
}

// Result is how an execution ended.
type Result struct {
	Failure string // "" if all was well
	Points  int    // operations at which another thread could have gone on
	Choices int    // points at which there was something to choose
	Kills   int
	Looks   int // how often nobody could go on before a look
	Trace   []string
}

// state is what a thread is doing.
type state int

const (
	ready   state = iota // it can go on
	blocked              // it waits for something
	ended                // its function has returned
	stopped              // its process was killed, and it will never go on
)

// A Thread is a goroutine of a simulated process. It has a thread of the kernel for
// itself.
type Thread struct {
	Process *Process
	tid     int
	name    string
	role    bool // one of the scenario's, rather than one that the library started
	state   state
	waits   string        // for what, if blocked
	baton   chan struct{} // filled by who lets it go on
	gone    chan struct{} // closed when the goroutine has ended
	parent  *Thread       // goes on when a new thread has come to its first point
	sleep   *sleep        // in the kernel
}

// A Process is a simulated process.
type Process struct {
	Index   int
	PID     int
	threads []*Thread
	life    life
	list    robustList
}

// World is one execution. There is one at a time.
type World struct {
	Config
	result  Result
	procs   []*Process
	threads []*Thread
	current *Thread
	calm    bool // setting up: everybody runs until it blocks
	over    bool // the result stands; goroutines are being unwound
	done    chan struct{}
	options []Option
	clock   int64
	timers  []*timer
	queue   []*entry
	locals  int // points that only threads of one process can notice
	idle    int // how often nobody could go on before a timer
}

var world *World

// programs are the processes' code, one copy for each: AddProgram.
var programs []func(role string, memory uintptr)

// AddProgram adds the code of one more process: run plays a role, in the memory that
// is mapped at an address.
func AddProgram(run func(role string, memory uintptr)) { programs = append(programs, run) }

// Programs is how many processes there can be.
func Programs() int { return len(programs) }

// Prelude is the role that each process plays before the execution begins.
const Prelude = "prelude"

// Execute runs a scenario once.
func Execute(c Config) *Result {
	resetGlobals()
	resetMemory(len(c.Processes))
	w := &World{Config: c, done: make(chan struct{}), calm: true}
	world = w
	for i := range c.Processes {
		w.procs = append(w.procs, &Process{Index: i, PID: 100 * (i + 1)})
	}
	for _, p := range w.procs {
		w.play(p, Prelude)
	}
	w.current = w.threads[0]
	w.current.baton <- struct{}{}
	<-w.done
	if w.result.Failure == "" && w.Final != nil {
		w.result.Failure = w.Final()
	}
	w.unwind()
	world = nil
	return &w.result
}

// play starts a role in a process.
func (w *World) play(p *Process, role string) {
	run, memory := programs[p.Index], memoryOf(p)
	t := w.spawn(p, role, func() { run(role, memory) })
	t.role = true
}

// begin ends the set-up: every process plays its roles.
func (w *World) begin() {
	w.calm = false
	for i, roles := range w.Processes {
		for _, role := range roles {
			w.play(w.procs[i], role)
		}
	}
}

func (w *World) spawn(p *Process, name string, f func()) *Thread {
	n := len(p.threads)
	t := &Thread{Process: p, tid: p.PID + n, name: name, baton: make(chan struct{}, 1), gone: make(chan struct{})}
	p.threads = append(p.threads, t)
	w.threads = append(w.threads, t)
	go func() {
		defer close(t.gone)
		makeRoom()
		<-t.baton
		if w.over {
			return
		}
		w.run(t, f)
	}()
	return t
}

// makeRoom has a new stack grow once, while it is empty, rather than step by step.
//
//go:noinline
func makeRoom() byte {
	var room [8 << 10]byte
	return room[len(programs)]
}

// run is the whole life of a thread. A panic in it is a failure of the execution, unless
// the process was killed: then it comes to nothing.
func (w *World) run(t *Thread, f func()) {
	defer func() {
		switch r := recover(); {
		case r == nil || w.over:
		case t.Process.life == living:
			w.fail(fmt.Sprintf("%v panics: %v", t, r))
		default:
			w.trace(fmt.Sprintf("panics: %v", r))
			w.halt(t)
			w.away(t)
		}
	}()
	f()
	w.trace("ends")
	t.state = ended
	w.away(t)
}

// Go starts a goroutine of the current process. It runs at once, up to the first
// operation that another thread could notice, so that only from there on there is
// something to choose.
func Go(f func()) {
	w, t := world, world.current
	w.spawnNow(t.Process, "goroutine", f)
}

func (w *World) spawnNow(p *Process, name string, f func()) {
	t := w.current
	child := w.spawn(p, name, f)
	child.parent = t
	w.current = child
	child.baton <- struct{}{}
	w.wait(t)
}

// wait waits for the baton.
func (w *World) wait(t *Thread) {
	<-t.baton
	if w.over {
		runtime.Goexit() // deferred functions that come to a point end there, too
	}
}

// handTo gives the baton to another thread.
func (w *World) handTo(t *Thread) {
	w.current = t
	t.baton <- struct{}{}
}

// fail ends the execution. It does not return.
func (w *World) fail(why string) {
	w.result.Failure = why
	w.trace("FAILURE: " + why)
	w.finish()
	w.wait(w.current)
}

// Fail ends the execution as failed.
func Fail(format string, args ...any) { world.fail(fmt.Sprintf(format, args...)) }

// finish has Execute go on.
func (w *World) finish() {
	w.over = true
	close(w.done)
}

// unwind ends every goroutine that is left, one after the other.
func (w *World) unwind() {
	for _, t := range w.threads {
		select {
		case t.baton <- struct{}{}:
		default:
		}
		<-t.gone
	}
}

// block makes t wait, for what is only for people to read.
func (w *World) block(t *Thread, what string) {
	if w.over {
		runtime.Goexit()
	}
	w.trace("waits for " + what)
	t.state, t.waits = blocked, what
	if parent := t.parent; parent != nil {
		t.parent = nil
		w.handTo(parent)
		w.wait(t)
		return
	}
	w.away(t)
}

// wake makes t able to go on.
func (t *Thread) wake() {
	if t.state == blocked {
		t.state = ready
	}
}

// complete reports whether everybody living has played his part.
func (w *World) complete() bool {
	return !slices.ContainsFunc(w.threads, func(t *Thread) bool {
		return t.role && (t.state == ready || t.state == blocked) && t.Process.life == living
	})
}

// Current is the thread that runs.
func Current() *Thread { return world.current }

// StandsStill reports whether the thread will never do anything again.
func (t *Thread) StandsStill() bool { return t.state == ended || t.state == stopped }

// Lives reports whether the process has not been killed.
func (p *Process) Lives() bool { return p.life == living }

// Pooled is Config.Pooled.
func Pooled() bool { return world.Config.Pooled }

// Kills is how many processes have been killed.
func Kills() int { return world.result.Kills }

// Owner is the process whose guardian has this ID, if there is one.
func Owner(tid uint32) *Process {
	for _, p := range world.procs {
		if tid != 0 && p.GuardianTID() == tid {
			return p
		}
	}
	return nil
}

func (t *Thread) String() string {
	i := slices.Index(t.Process.threads, t)
	return fmt.Sprintf("%c%d %s", 'A'+t.Process.Index, i, t.name)
}
