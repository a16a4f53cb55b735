// Package report says what a run found: exit codes, verdict lines, JSON and
// the progress line.
package report

import "time"

// Code is the exit code of the command, and the verdict of one scenario.
type Code int

// The exit codes.
const (
	Pass        Code = 0
	Broke       Code = 1 // an invariant broke
	Usage       Code = 2
	Hang        Code = 3 // a hang or a lost wake-up
	Setup       Code = 4 // set-up or resources
	Died        Code = 5 // a worker died unasked
	Late        Code = 6 // a threshold was missed
	Interrupted Code = 130
)

// String names the code in a word.
func (c Code) String() string {
	switch c {
	case Pass:
		return "pass"
	case Broke:
		return "invariant broken"
	case Usage:
		return "usage"
	case Hang:
		return "hang"
	case Setup:
		return "set-up failed"
	case Died:
		return "worker died"
	case Late:
		return "threshold missed"
	case Interrupted:
		return "interrupted"
	}
	return "unknown"
}

// gravity orders the codes: what is wrong first, then what is late, then what
// could not be judged at all.
var gravity = []Code{Pass, Late, Setup, Died, Hang, Broke, Interrupted}

// Worse returns the graver of two codes.
func Worse(a, b Code) Code {
	for i := len(gravity) - 1; i >= 0; i-- {
		if gravity[i] == a || gravity[i] == b {
			return gravity[i]
		}
	}
	return a
}

// Fails: something is wrong with the library, so far as can be told, not with the machine
// or the call.
func (c Code) Fails() bool { return c == Broke || c == Hang || c == Died || c == Late }

// Result is what one scenario did.
type Result struct {
	Name       string             `json:"name"`
	Code       Code               `json:"code"`
	Verdict    string             `json:"verdict"`
	Procs      int                `json:"procs"`
	Goroutines int                `json:"goroutines"`
	Elapsed    time.Duration      `json:"elapsed_ns"`
	Ops        uint64             `json:"ops"`
	Kills      int                `json:"kills"`
	HeldKills  int                `json:"kills_while_held"`
	Stops      int                `json:"stops"`
	Recovered  int                `json:"recovered"`
	Worst      time.Duration      `json:"recovery_worst_ns"`
	Median     time.Duration      `json:"recovery_median_ns"`
	Longest    time.Duration      `json:"longest_wait_ns"`
	Fairness   float64            `json:"fairness"`          // Jain's index of what each process did
	Leaving    time.Duration      `json:"leaving_ns"`        // from the order to leave to the last worker's end
	Lag        time.Duration      `json:"supervisor_lag_ns"` // the longest that the supervisor waited for a CPU
	Seed       uint64             `json:"-"`
	Notes      []string           `json:"notes"`
	Metrics    map[string]float64 `json:"metrics,omitempty"`

	// Stays are the times inside of which none overlaps another: the last ones of each
	// goroutine, of every 16th or, with -history, of every operation.
	Stays int `json:"stays_compared,omitempty"`

	StoppedKills int `json:"kills_while_stopped"`

	Delays  uint64        `json:"delays,omitempty"`
	Delayed time.Duration `json:"delayed_ns,omitempty"`
	Points  []Point       `json:"points,omitempty"`

	// Latency is by Wait, Hold and Recovery, those that the scenario has.
	Latency map[string]*Latency `json:"latency,omitempty"`

	Problems []string `json:"problems,omitempty"`
	Missed   []string `json:"missed,omitempty"` // thresholds of the user's

	Evidence map[string][]byte `json:"-"` // files for the folder of a run that fails
	Folder   string            `json:"folder,omitempty"`
}

// Add makes r worse by one problem.
func (r *Result) Add(c Code, text string) {
	r.Code = Worse(r.Code, c)
	r.Verdict = r.Code.String()
	r.Problems = append(r.Problems, text)
}
