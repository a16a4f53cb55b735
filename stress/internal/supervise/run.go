package supervise

import (
	"context"
	"fmt"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
	"interlock/stress/internal/trace"
)

// Options are how a scenario is to be run.
type Options struct {
	Shape    scenario.Shape
	Duration time.Duration
	Hang     time.Duration   // no progress for so long is a hang
	KillRate float64         // kills a second
	StopRate float64         // stops a second
	Points   bool            // kill at every point, and count who comes by there
	Chaos    uint32          // delays at the marks: ChaosLight, ChaosHeavy; 0: none
	Marks    []string        // their names, if this program has them
	Covered  map[string]bool // the marks at which somebody has been killed before
	Seed     uint64
	Progress *report.Progress // may be nil
	Keep     bool             // keep the evidence of a run that passes, too
	History  int              // keep so many operations of each lane, each timed; 0: a sample
	Trace    *trace.File      // what is kept is added to it; may be nil
}

// sampleKept is how many operations of each lane are kept of those that are timed anyway.
const sampleKept = 256

// SetupPatience is how long the workers may take to attach.
const setupPatience = 20 * time.Second

// coverPatience is how much longer than planned a run may take to kill somebody at every
// point.
const coverPatience = 10 * time.Second

// calm is the part of a run, at its end, in which nobody is harmed: what must
// get going again has to do so there.
func (s *session) calm() time.Duration {
	if s.plan.Directed {
		return 0 // without directions nothing gets going
	}
	return min(s.opts.Duration*15/100, time.Second)
}

// ending is why a stretch of the run came to its end.
type ending int

const (
	ended ending = iota // as planned
	faulted
	troubled
	hung
	overslept // a wake-up was lost, but a look made up for it
	interrupted
)

// session is one scenario on its way.
type session struct {
	plan    *scenario.Plan
	opts    Options
	arena   *arena.Arena
	crew    *crew
	faults  *faults
	monitor *monitor
	stage   *stage
	begin   time.Time
	began   int64 // the same by arena.Now
	result  *report.Result
	leaving time.Duration
	helpers chan struct{} // closed when the faults and the scenario's Conduct have ended
}

// Run runs one scenario from start to verdict. Whatever happens, no worker
// and no memory is left when it returns.
func Run(ctx context.Context, plan *scenario.Plan, opts Options) *report.Result {
	r := &report.Result{
		Name: plan.Name, Seed: opts.Seed, Verdict: report.Pass.String(),
		Procs: opts.Shape.Procs, Goroutines: opts.Shape.Lanes,
	}
	lanes := opts.Shape.Lanes
	if plan.Crowd {
		lanes = 1
	}
	a, err := arena.CreateKeeping(opts.Shape.Procs, lanes, plan.Area(opts.Shape.Procs, lanes), keeping(opts, lanes))
	if err != nil {
		r.Add(report.Setup, err.Error())
		return r
	}
	defer a.Close()
	a.Seed.Store(opts.Seed)
	if opts.History > 0 {
		a.Every.Store(1)
	}
	if plan.Crowd {
		a.Crowd.Store(uint32(opts.Shape.Lanes))
	}
	if opts.Points || opts.Chaos != 0 {
		a.Points().SetNames(opts.Marks)
		a.Points().Watched.Store(1)
	}
	if plan.Setup != nil {
		plan.Setup(a)
	}
	c, err := newCrew(plan, a)
	if err != nil {
		r.Add(report.Setup, err.Error())
		return r
	}
	s := &session{
		plan: plan, opts: opts, arena: a, crew: c, result: r,
		faults: newFaults(c, opts), monitor: newMonitor(a), begin: time.Now(),
	}
	s.run(ctx)
	opts.Progress.Clear()
	return r
}

// keeping is how many operations of each lane are kept.
func keeping(opts Options, lanes int) int {
	keep := sampleKept
	if opts.History > 0 {
		keep = opts.History
	}
	return arena.Capacity(opts.Shape.Procs, lanes, keep)
}

func (s *session) run(ctx context.Context) {
	hard, breakOff := context.WithCancel(ctx)
	work, finish := context.WithCancel(hard)
	defer finish()
	s.stage = newStage(work, hard, s.crew, s.faults, s.opts)
	end := s.start(ctx)
	if end == ended {
		s.begin, s.began = time.Now(), arena.Now()
		s.monitor.touch()
		end = s.work(work, finish)
	}
	if end == ended {
		end = s.leave()
	}
	elapsed := time.Since(s.begin)
	breakOff()
	if s.helpers != nil {
		<-s.helpers // from here on nobody but us touches the memory or the crew
	}
	if end != ended && end != interrupted {
		s.secure(end)
	}
	s.crew.end()
	s.judge(end, elapsed)
	if s.result.Code.Fails() || s.opts.Keep {
		s.conclude()
	}
}

// start fills the slots and waits for everybody to attach.
func (s *session) start(ctx context.Context) ending {
	if err := s.crew.startAll(); err != nil {
		s.result.Add(report.Setup, err.Error())
		return troubled
	}
	limit := time.Now().Add(setupPatience)
	for !s.crew.allReady() {
		switch {
		case s.crew.trouble():
			return troubled
		case time.Now().After(limit):
			s.result.Add(report.Setup, fmt.Sprintf("the workers were not ready within %v", setupPatience))
			return troubled
		case !sleep(ctx, 200*time.Microsecond):
			return interrupted
		}
	}
	return ended
}

// work lets the workers work: first with faults, then without.
func (s *session) work(work context.Context, finish context.CancelFunc) ending {
	s.arena.Phase.Store(arena.PhaseRun)
	s.crew.journal.begin = s.begin
	s.helpers = make(chan struct{})
	go func() {
		defer close(s.helpers)
		quiet := make(chan struct{})
		go func() {
			defer close(quiet)
			s.faults.run(work)
		}()
		if s.plan.Conduct != nil {
			s.plan.Conduct(s.stage)
		}
		<-quiet
	}()
	limit := s.begin.Add(s.opts.Duration - s.calm())
	end := s.watch(func(now time.Time) bool { return now.After(limit) && !s.uncovered(now.Sub(limit)) })
	if end != ended {
		return end
	}
	finish()
	end = s.watch(func(time.Time) bool {
		select {
		case <-s.helpers:
			return s.crew.allReady()
		default:
			return false
		}
	})
	if end != ended {
		return end
	}
	limit = time.Now().Add(s.calm())
	return s.watch(func(now time.Time) bool { return now.After(limit) })
}

// uncovered says, when the time is over by past, that there are points left to kill
// somebody at. Then the killer is to look for these alone.
func (s *session) uncovered(past time.Duration) bool {
	k := s.faults.killer
	if !s.opts.Points || past > coverPatience || s.plan.NoKills || k.left.Load() == 0 {
		return false
	}
	k.hunt()
	return true
}

// leave asks everybody to leave. Nobody new comes and nobody is killed, so
// whoever cannot finish is stuck for good.
func (s *session) leave() ending {
	s.crew.close()
	s.monitor.touch()
	s.arena.Phase.Store(arena.PhaseStop)
	begin := time.Now()
	defer func() { s.leaving = time.Since(begin) }()
	return s.watch(func(time.Time) bool { return s.crew.left() == 0 })
}

// tellTime is how long a worker that has counted a fault may take to write down
// which: to end the run is to kill it, and it may not be on a CPU just then.
const tellTime = 200 * time.Millisecond

// watch looks at the workers until done, or until something is wrong.
func (s *session) watch(done func(now time.Time) bool) ending {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var heard time.Time // when the first fault was counted
	for range tick.C {
		now := time.Now() // not the tick's time, which says nothing about when we came to run
		s.monitor.look(now, s.crew.slow())
		s.opts.Progress.Show(func() report.Snapshot { return s.snapshot(now) })
		hangs, lost := s.stage.seen()
		switch {
		case s.stage.hard.Err() != nil:
			return interrupted
		case s.arena.Faults.Load() > 0:
			if heard.IsZero() {
				heard = now
			}
			if len(s.arena.FaultTexts()) > 0 || now.Sub(heard) > tellTime {
				return faulted
			}
		case s.crew.trouble():
			return troubled
		case len(hangs) > 0, s.monitor.stalled() > s.opts.Hang:
			return hung
		case len(lost) > 0:
			return overslept
		case done(now):
			return ended
		}
	}
	return ended
}

func (s *session) snapshot(now time.Time) report.Snapshot {
	return report.Snapshot{
		Name: s.plan.Name, Elapsed: now.Sub(s.begin), Planned: s.opts.Duration, Ops: s.monitor.ops, Kills: int(s.arena.Kills.Load()),
		Recovered: int(s.crew.mourned().times.Count()), Longest: s.monitor.longestWait(), Fairness: s.fairness(),
	}
}

// fairness is of what the slots have done: 1 when all have done the same.
func (s *session) fairness() float64 { return scenario.Jain(scenario.Shares(s.arena)) }
