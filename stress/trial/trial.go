package trial

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
	"interlock/stress/internal/supervise"
)

// Lock is what is tried.
type Lock struct {
	Name string // without blanks

	// Size is how many bytes of shared memory it needs. They are zero at first, and aligned
	// to 64.
	Size int

	// Attach is called once in each worker process; mem is where that process sees the
	// shared memory. The process's goroutines share what it returns.
	Attach func(mem []byte) (sync.Locker, error)

	// State spells the shared memory out, for the report of a hang. It may be nil.
	State func(mem []byte) string
}

// Options are how it is tried.
type Options struct {
	Procs      int           // worker processes; 0: four
	Goroutines int           // in each of them; 0: eight
	Duration   time.Duration // 0: two seconds
	Kills      float64       // per second, on average; 0: none
	Hang       time.Duration // if for so long nobody gets on that is a hang; 0: five seconds
	Seed       uint64        // from which all random decisions follow; 0: a new one
}

// standard stands for what is zero.
var standard = Options{Procs: 4, Goroutines: 8, Duration: 2 * time.Second, Hang: 5 * time.Second}

// Result is what came of it.
type Result struct {
	Passed   bool
	Code     int      // as the stress command ends: 0 passed, 1 an invariant broke, 3 a hang, 5 a worker died unasked …
	Line     string   // the verdict in a line
	Problems []string // what is wrong, in words, for people to read

	Ops       uint64 // times that somebody took the lock and gave it back
	Kills     int    // workers killed
	HeldKills int    // of those, known to be inside the lock
	Recovered int    // times that somebody came in after one who was killed inside

	Wait     Latency // from the call of Lock to its return; of every 16th
	Hold     Latency // from then to the return of Unlock; of every 16th
	Recovery Latency // from the kill of who was inside to the next one inside; of every one

	full *report.Result
}

// String is the verdict, and what is wrong.
func (r *Result) String() string {
	if r == nil {
		return "no result"
	}
	return strings.ReplaceAll(strings.Join(append([]string{r.Line}, r.Problems...), "\n"), "\n", "\n  ")
}

// Latency is how long something took.
type Latency struct {
	Count                int64
	Median, P99, Longest time.Duration
}

func latency(l *report.Latency) Latency {
	if l == nil {
		return Latency{}
	}
	return Latency{l.Count(), l.Quantile(50), l.Quantile(99), l.Max()}
}

// ready: Work has been called, so a worker of ours will find its way.
var ready atomic.Bool

// ErrNoWork says that Work was not called.
var ErrNoWork = errors.New("trial: call trial.Work at the very beginning of main, or of TestMain: the workers are this program, started again")

// Work is called at the very beginning of main, or of TestMain, with every lock that may
// be tried. In a worker process it does a worker's work and does not return. Without it
// Run refuses: a program that started itself again, only to do so again, would take the
// machine down.
func Work(locks ...Lock) {
	var plans []*scenario.Plan
	for _, l := range locks {
		plans = append(plans, l.plan())
	}
	work(plans)
}

func work(plans []*scenario.Plan) {
	if len(os.Args) > 1 && os.Args[1] == supervise.WorkerCommand {
		supervise.Know(plans)
		os.Exit(supervise.Work(os.Args[2:]))
	}
	ready.Store(true)
}

func (l Lock) plan() *scenario.Plan {
	return scenario.Own{Name: l.Name, Size: l.Size, Attach: l.Attach, State: l.State}.Plan()
}

// Run tries a lock, which must be one of those that Work knows. The error is about the
// call; what is wrong with the lock is in the result. If ctx ends, so does the run, and
// the result has code 130.
func Run(ctx context.Context, l Lock, o Options) (*Result, error) {
	if !ready.Load() {
		return nil, ErrNoWork
	}
	if err := check(l, &o); err != nil {
		return nil, err
	}
	r := supervise.Run(ctx, l.plan(), supervise.Options{
		Shape: scenario.Shape{Procs: o.Procs, Lanes: o.Goroutines}, Duration: o.Duration, Hang: o.Hang, KillRate: o.Kills, Seed: o.Seed,
	})
	return &Result{
		Passed: r.Code == report.Pass, Code: int(r.Code), Line: report.Line(r), Problems: r.Problems,
		Ops: r.Ops, Kills: r.Kills, HeldKills: r.HeldKills, Recovered: r.Recovered,
		Wait: latency(r.Latency[report.Wait]), Hold: latency(r.Latency[report.Hold]), Recovery: latency(r.Latency[report.Recovery]),
		full: r,
	}, nil
}

// Limits keep a slip from taking the machine down.
const (
	maxProcs      = 1024
	maxGoroutines = 4096
	maxKills      = 1000
	maxSize       = 1 << 30
)

// check fills in what is not said, and refuses what cannot be.
func check(l Lock, o *Options) error {
	for p, d := range map[*int]int{&o.Procs: standard.Procs, &o.Goroutines: standard.Goroutines} {
		if *p == 0 {
			*p = d
		}
	}
	for p, d := range map[*time.Duration]time.Duration{&o.Duration: standard.Duration, &o.Hang: standard.Hang} {
		if *p == 0 {
			*p = d
		}
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()>>32 | 1 // short enough to be typed again
	}
	switch {
	case l.Name == "" || strings.ContainsAny(l.Name, " \t\n"):
		return fmt.Errorf("trial: Name %q: it must be a word", l.Name)
	case l.Attach == nil:
		return fmt.Errorf("trial: %s has no Attach", l.Name)
	case l.Size < 0 || l.Size > maxSize:
		return fmt.Errorf("trial: Size %d: between 0 and %d", l.Size, maxSize)
	case o.Procs < 1 || o.Procs > maxProcs:
		return fmt.Errorf("trial: Procs %d: between 1 and %d", o.Procs, maxProcs)
	case o.Goroutines < 1 || o.Goroutines > maxGoroutines:
		return fmt.Errorf("trial: Goroutines %d: between 1 and %d", o.Goroutines, maxGoroutines)
	case !(o.Kills >= 0 && o.Kills <= maxKills):
		return fmt.Errorf("trial: Kills %v: between 0 and %d", o.Kills, maxKills)
	case o.Duration < 0:
		return fmt.Errorf("trial: Duration %v: it cannot be negative", o.Duration)
	case o.Hang < 100*time.Millisecond:
		return fmt.Errorf("trial: Hang %v: at least 100ms, or every hiccup of the machine is a hang", o.Hang)
	}
	return nil
}
