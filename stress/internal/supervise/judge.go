package supervise

import (
	"fmt"
	"time"

	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
)

// The promise is that a waiter learns of an orphan at the latest 100 ms after
// the owner's death, plus scheduling delay. On a machine that others use too,
// only ten times that is a verdict, beyond what the supervisor itself was kept
// waiting for a CPU; the number itself is always printed.
const (
	recoveryPromise = 100 * time.Millisecond
	recoveryLimit   = 10 * recoveryPromise
)

// judge turns what happened into a result. All workers are gone.
func (s *session) judge(end ending, elapsed time.Duration) {
	r := s.result
	r.Elapsed = elapsed
	r.Ops = s.arena.Ops()
	r.Kills = int(s.arena.Kills.Load())
	r.HeldKills = s.crew.held
	r.Longest, r.Lag, r.Leaving = s.monitor.longestWait(), s.monitor.lateness(), s.leaving
	times, missed := s.recoveries()
	r.Recovered = len(times)
	if n := len(times); n > 0 {
		r.Median, r.Worst = times[n/2], times[n-1]
	}
	for _, text := range s.arena.FaultTexts() {
		r.Add(report.Broke, text)
	}
	if n := int(s.arena.Faults.Load()); n > 0 && r.Code != report.Broke {
		r.Add(report.Broke, fmt.Sprintf("%d invariants broken, by workers that did not live to say which", n))
	}
	for _, text := range s.crew.unasked {
		r.Add(report.Died, text)
	}
	for _, text := range s.crew.setup {
		r.Add(report.Setup, text)
	}
	_, lost := s.stage.seen()
	for _, text := range lost {
		r.Add(report.Hang, "lost wake-up: "+text)
	}
	switch end {
	case interrupted:
		r.Add(report.Interrupted, "interrupted before its end")
	case ended:
		s.check(missed)
	}
	if s.plan.Cleanup != nil {
		if err := s.plan.Cleanup(s.arena); err != nil {
			r.Add(report.Setup, err.Error())
		}
	}
	r.Verdict = r.Code.String()
}

// check asks the scenario's model. Everybody has left in good order.
func (s *session) check(missed int) {
	r := s.result
	var f scenario.Findings
	s.plan.Check(s.arena, &f)
	for _, text := range f.Faults {
		r.Add(report.Broke, text)
	}
	for _, text := range f.Hangs {
		r.Add(report.Hang, text)
	}
	for _, text := range f.Late {
		r.Add(report.Late, text)
	}
	if missed > 0 {
		r.Add(report.Broke, fmt.Sprintf("%d workers were killed inside the lock and nobody was ever told: no repair ran", missed))
	}
	if lag := s.monitor.lateness(); r.Worst > recoveryLimit+2*lag {
		r.Add(report.Late, fmt.Sprintf("the slowest recovery took %v: more than ten times the promised %v; "+
			"the machine kept the supervisor waiting %v at most", r.Worst, recoveryPromise, lag))
	}
	r.Notes, r.Metrics = f.Notes, f.Metrics
}
