package arena

import "sync/atomic"

// magic says "this is the control segment of a stress run, version 1".
const magic = 0x31_5353_4552_5453

// Phase is what the supervisor wants of everybody.
type Phase = uint32

// The phases, in the order in which a run passes through them; Run and Pause
// may alternate.
const (
	PhaseStart Phase = iota // workers attach and wait
	PhaseRun                // work
	PhasePause              // every lane parks between two operations
	PhaseStop               // finish the operation in hand and leave
)

// Slot states.
const (
	SlotEmpty  uint32 = iota // no process, or one that has not attached yet
	SlotReady                // attached, waiting for PhaseRun or working
	SlotLeft                 // all its lanes returned
	SlotBroken               // it could not attach; its stderr says why
)

// GraveCount bounds how many kills a repairer can look back on.
const GraveCount = 2048

// FaultCount bounds how many faults are kept with their text.
const FaultCount = 8

// Header is written by the supervisor and read by everybody.
type Header struct {
	Magic  atomic.Uint64
	Seed   atomic.Uint64
	Procs  atomic.Uint32
	Lanes  atomic.Uint32
	Area   atomic.Uint64 // offset of the scenario's area
	Size   atomic.Uint64
	Kills  atomic.Uint32 // graves dug so far; the next one is Graves[Kills % GraveCount]
	Faults atomic.Uint32 // broken invariants so far, also those without a text
	Mode   atomic.Uint32 // the scenario's own switches
	Crowd  atomic.Uint32 // goroutines of each worker, if they share one lane; else 0
	Keep   atomic.Uint32 // operations of each lane that are kept; 0: none
	Every  atomic.Uint32 // 1: every operation is timed, else some
	Phase  atomic.Uint32 // its own cache line: every lane reads it before every operation
	_      [60]byte
	Texts  [FaultCount]Fault
}

// Fault is one broken invariant in words. Size is stored last: a text is
// complete or invisible.
type Fault struct {
	Size atomic.Uint32
	Slot atomic.Uint32
	Text [248]byte
}

// Grave records one kill, from before kill(2) on. Times are CLOCK_MONOTONIC
// nanoseconds, the same in every process.
type Grave struct {
	At       atomic.Int64
	Repaired atomic.Int64 // when the first repair on its behalf began; 0: none
	PID      atomic.Uint32
	Held     atomic.Uint32 // 1: it was trapped inside the lock, so a repair is due
	_        [8]byte
}

// Slot belongs to one worker process at a time; its number outlives the
// process, its generation counts them.
type Slot struct {
	PID     atomic.Uint32
	Gen     atomic.Uint32
	State   atomic.Uint32
	Trap    atomic.Uint32 // the label at which the supervisor wants one lane to stand still
	Trapped atomic.Uint32 // 1 + the lane that does
	Command atomic.Uint32 // for scenarios in which the supervisor gives orders
	Reply   atomic.Uint32
	_       [100]byte
}

// A Measure is something whose duration the lanes of a worker tell.
type Measure int

// What is measured, where a scenario has it.
const (
	Wait Measure = iota // from the call to having it
	Hold                // from having it to having given it away
	Measures
)

// Lane belongs to one goroutine of a worker. Ops, Errors and Rec survive a
// replacement: the next process continues where the dead one stopped.
type Lane struct {
	Ops    atomic.Uint64 // operations finished: the heartbeat
	Label  atomic.Uint32 // where it is, in the scenario's words
	_      [4]byte
	Errors atomic.Uint64 // errors that the scenario expects and counts
	Begun  atomic.Uint64 // operations written down; the next is in entry Begun % Keep
	_      [32]byte
	Rec    [24]atomic.Uint64 // the scenario's own record, exact under kills
}
