// Package ptrace follows all threads of another process: to traps at addresses,
// instruction by instruction, or from system call to system call.
//
//	tracee.go        attaching, traps, killing
//	follow.go        from stop to stop
//	grow.go          what the other process does first
//	calls_unsafe.go  the requests that x/sys has no function for
//	other.go         where it is not written
//
// To the kernel a tracer is a thread (P-G1): all calls for one Tracee come from one
// goroutine that is locked to its thread, and that thread waits for nobody else's
// processes.
package ptrace

import "errors"

var (
	// ErrUnsupported: there is no tracer for this architecture.
	ErrUnsupported = errors.New("ptrace: written for amd64 only")
	// ErrRefused: the kernel, or a filter, lets nobody be traced here.
	ErrRefused = errors.New("ptrace: refused here")
	// ErrGone: the process ended by itself, or was killed.
	ErrGone = errors.New("ptrace: the process has ended")
)

// Mode is how the threads run between stops.
type Mode int

const (
	Run   Mode = iota // at full speed, to the next trap
	Step              // instruction by instruction, in a region; elsewhere as Run
	Calls             // from system call to system call, and to traps
)

// Kind says why a thread stands still.
type Kind int

const (
	At     Kind = iota // before the instruction at PC: at a trap, or after a step
	Enters             // before the kernel looks at system call Call
	Leaves             // after system call Call, before it knows the result
)

// A Stop is one thread that stands still.
type Stop struct {
	TID   int
	Kind  Kind
	PC    uintptr
	Call  int
	stack [2]uint64 // the stack and frame pointers
}

// A Register is one of a thread's.
type Register struct {
	Name  string
	Value uint64
}

// Verdict is what becomes of a thread that stands still.
type Verdict int

const (
	GoOn   Verdict = iota // it goes on, past a trap too
	Halt                  // it is left standing, and Follow returns
	Strike                // it goes on, and the process is killed at the same moment
)
