// Package scenario holds what the stress command runs: for each scenario what
// the workers do, and a model of what must hold afterwards, also when workers
// are killed at any instruction.
//
// The rules they all follow:
//   - What a lane did is recorded in words that survive it. A record that is
//     changed under the lock is changed through a journal, so that a repair can
//     finish what the dead began; doing it twice does no harm.
//   - A record that is changed outside the lock is one store, or says "about
//     to" first: what stays ambiguous is bounded, never guessed.
//   - An invariant that is broken is a Fault at once. A promise about time is
//     measured, printed, and fails only at ten times the promise.
package scenario

import (
	"path"
	"time"

	"interlock/stress/internal/arena"
)

// Labels that every scenario shares.
const (
	LabelIdle   uint32 = iota
	LabelParked        // between two operations, because of PhasePause
	LabelWaiting
	LabelInside // holds the lock or a permit
	LabelGiving // about to give it away, inside Unlock, Release or Signal
	LabelOwn    // the first of the scenario's own
)

// Plan is one scenario.
type Plan struct {
	Name     string
	About    string
	Labels   []string      // names of the labels from LabelOwn on
	Duration time.Duration // when nobody asks for another
	Shape    Shape         // processes and goroutines when nobody asks for others
	Least    Shape         // what it needs to make sense
	Fixed    bool          // Shape is part of the scenario and cannot be asked for
	NoKills  bool          // the supervisor kills nobody of its own accord
	Directed bool          // workers do nothing but what Conduct has them do
	Crowd    bool          // its goroutines are too many for a lane each: those of a worker share one

	// Exclusive says that between Took(Wait) and gives nobody else is there: what is kept of
	// the operations must show that.
	Exclusive bool

	// Quiet is how long nobody is killed at first; OnlyTraps: and then only at Traps.
	Quiet     time.Duration
	OnlyTraps bool

	// Unvisited says that an orphan may have to wait until somebody happens to come for it:
	// how long that takes is no promise of the library's.
	Unvisited bool

	// MostKills bounds the kills a second, whatever was asked for; 0: it does not.
	MostKills float64

	// MostLanes bounds the goroutines of a worker; 0: Most does.
	MostLanes int

	// Missing is what this machine lacks for it, "" if nothing: then it is skipped, which is
	// neither passed nor failed. May be nil.
	Missing func() string

	// Traps are labels at which a worker can be made to stand still and be
	// killed; those in Held are inside the lock, so that a repair on behalf of who is
	// killed there is due. Inside a repair is not among them: if the next one to repair
	// is killed, too, the one after that learns of the last one to die and of the first.
	Traps []uint32
	Held  []uint32

	// Marks are the beginnings of the names of the library's marks that its operations
	// come by: there, too, workers can be made to stand still and be killed.
	Marks []string

	Area    func(procs, lanes int) int        // bytes it needs
	Setup   func(a *arena.Arena)              // in the supervisor, before any worker; may be nil
	Attach  func(w *Worker) (Body, error)     // in each worker
	Conduct func(s Stage)                     // in the supervisor, beside the workers; may be nil
	Settle  func(a *arena.Arena, slot int)    // in the supervisor, when slot's process is gone; may be nil
	Check   func(a *arena.Arena, f *Findings) // in the supervisor, when all have left
	Words   func(a *arena.Arena) []Word       // for the dump of a hang; may be nil
	Cleanup func(a *arena.Arena) error        // whatever happened; may be nil
	Files   func() map[string][]byte          // more evidence of a run that fails; may be nil
}

// Shape is a number of processes and of goroutines in each.
type Shape struct{ Procs, Lanes int }

// What a shape may ask for: a lane takes memory, and a look at every one time.
const (
	mostLanes = 4096
	mostCrowd = 100_000
)

// Most is how many goroutines a worker of this scenario may have.
func (p *Plan) Most() int {
	switch {
	case p.Crowd:
		return mostCrowd
	case p.MostLanes > 0:
		return p.MostLanes
	}
	return mostLanes
}

// Body is what a worker process does.
type Body struct {
	Step  func(l *Lane) error // one operation; an error ends the worker
	Nudge func()              // rouses lanes that wait for others when it is time to leave; may be nil
}

// Findings is the judgement of a scenario that came to its end.
type Findings struct {
	Faults  []string // broken invariants
	Hangs   []string // lost wake-ups
	Late    []string // missed thresholds
	Notes   []string // for the verdict line
	Metrics map[string]float64
}

// Metric records a number for the JSON output.
func (f *Findings) Metric(name string, v float64) {
	if f.Metrics == nil {
		f.Metrics = map[string]float64{}
	}
	f.Metrics[name] = v
}

// Word is a state word in the dump of a hang.
type Word struct {
	Name, State string
}

// Stage is what the supervisor lets a scenario's Conduct see and do.
type Stage interface {
	Arena() *arena.Arena
	// Sleep returns false when it is time to come to an end: no more kills are
	// made, and what Conduct does last is followed by a calm stretch.
	Sleep(d time.Duration) bool
	// Calm holds back the supervisor's own kills, or no longer.
	Calm(on bool)
	// Pause stops the kills and returns when every lane of every worker is
	// parked; false: the run is broken off.
	Pause() bool
	// Resume lets the lanes go on.
	Resume()
	// Ready says that slot has an attached, living worker.
	Ready(slot int) bool
	// PID is the process in slot, 0 if there is none.
	PID(slot int) int
	// Patience is how long nothing may happen before it is a hang.
	Patience() time.Duration
	// Slow says that the machine takes its time to replace a worker that was
	// killed: that is no hang.
	Slow() bool
	// Kill kills the worker of slot now; held: it is known to hold the lock.
	Kill(slot int, held bool)
	// Halt stops the worker of slot with SIGSTOP, at label if it comes there soon, or if label
	// is 0 at once. True: none of its threads runs any more, until Continue.
	Halt(slot int, label uint32) bool
	// Continue has it go on, if it is stopped.
	Continue(slot int)
	// Expect is told before a worker kills another: its death is then asked for.
	Expect(slot int)
	// Random is the run's random number in [0, n).
	Random(n int) int
	// Over says that the run is broken off.
	Over() bool
	// Hang ends the run: somebody sleeps who should not, and goes on sleeping.
	Hang(format string, args ...any)
	// Lost ends the run: somebody slept who should not have.
	Lost(format string, args ...any)
}

// All are the scenarios in the order in which they run.
func All() []*Plan {
	return []*Plan{
		lostUpdate(),
		handoffPlan(),
		mutexPlan(),
		bankPlan(),
		semaphorePlan(),
		condvarPlan(),
		ringPlan(),
		seqlockPlan(),
		readMostlyPlan(),
		segmentPlan(),
		deadWaiterPlan(),
		chainPlan(),
		herdPlan(),
		timeoutsPlan(),
		interopPlan(),
		historyPlan(),
		hostilePlan(),
		stoppedPlan(),
		oversubscribedPlan(),
	}
}

// Match returns the scenarios that a name or a pattern selects.
func Match(pattern string) []*Plan {
	var found []*Plan
	for _, p := range All() {
		if ok, err := path.Match(pattern, p.Name); pattern == "all" || p.Name == pattern || (err == nil && ok) {
			found = append(found, p)
		}
	}
	return found
}

// LabelName names a label of this scenario.
func (p *Plan) LabelName(label uint32) string {
	switch label {
	case LabelIdle:
		return "idle"
	case LabelParked:
		return "parked"
	case LabelWaiting:
		return "waiting"
	case LabelInside:
		return "inside"
	case LabelGiving:
		return "giving"
	}
	if i := int(label - LabelOwn); i < len(p.Labels) {
		return p.Labels[i]
	}
	return "?"
}
