package supervise

import (
	"fmt"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/history"
	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
	"interlock/stress/internal/trace"
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
	r.HeldKills, r.Stops, r.StoppedKills = s.crew.held, s.crew.stops, s.crew.nailed
	r.Longest, r.Lag, r.Leaving = s.monitor.longestWait(), s.monitor.lateness(), s.leaving
	r.Fairness = s.fairness()
	dead := s.crew.mourned()
	r.Recovered, r.Median, r.Worst = int(dead.times.Count()), dead.times.Quantile(50), dead.times.Max()
	s.latencies(dead.times)
	s.pointsPassed()
	s.history()
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
		s.check(dead.missed)
	}
	if s.plan.Cleanup != nil {
		if err := s.plan.Cleanup(s.arena); err != nil {
			r.Add(report.Setup, err.Error())
		}
	}
	r.Verdict = r.Code.String()
}

// latencies adds up what all workers have measured, the dead included.
func (s *session) latencies(recovery *report.Latency) {
	r := s.result
	r.Latency = map[string]*report.Latency{}
	for m, name := range map[arena.Measure]string{arena.Wait: report.Wait, arena.Hold: report.Hold} {
		all := report.NewLatency()
		for i := range int(s.arena.Procs.Load()) {
			s.arena.Spread(i, m).Each(all.Record)
		}
		if all.Count() > 0 {
			r.Latency[name] = all
		}
	}
	if recovery.Count() > 0 {
		r.Latency[report.Recovery] = recovery
	}
}

// history judges what is kept of the operations, however the run ended.
func (s *session) history() {
	log := history.Read(s.arena)
	if s.plan.Exclusive {
		bad, n := history.Exclusive(log.Ops)
		if s.result.Stays = n; bad != nil {
			s.result.Add(report.Broke, s.plan.Name+": "+bad.String(s.began))
		}
	}
	if s.opts.Trace != nil {
		s.opts.Trace.Add(trace.Run{Name: s.plan.Name, Seed: s.opts.Seed, Begin: s.began, Exclusive: s.plan.Exclusive, Arena: s.arena, Log: log})
	}
}

// pointsPassed says who came by where, and was killed or delayed there.
func (s *session) pointsPassed() {
	for i := range int(s.arena.Procs.Load()) {
		s.result.Delays += s.arena.Tally(i).Delays.Load()
		s.result.Delayed += time.Duration(s.arena.Tally(i).Delayed.Load())
	}
	all, k := s.arena.Points(), s.faults.killer
	if !s.opts.Points {
		return
	}
	for _, label := range s.plan.Targets(all) {
		s.result.Points = append(s.result.Points, report.Point{
			Name: s.plan.TargetName(all, label), Trap: label < arena.PointBase,
			Passed: s.arena.Passed(s.plan.PointOf(all, label)), Kills: k.hits[label],
		})
	}
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
		if s.opts.Chaos == 0 { // one of the workers gets little time, by our doing; the numbers are in the notes
			r.Add(report.Late, text)
		}
	}
	if missed > 0 {
		r.Add(report.Broke, fmt.Sprintf("%d workers were killed inside the lock and nobody was ever told: no repair ran", missed))
	}
	// Who repairs may have been stopped or delayed: by us, not by the library.
	if lag := s.monitor.lateness(); r.Worst > recoveryLimit+2*lag && r.Stops == 0 && s.opts.Chaos == 0 && !s.plan.Unvisited {
		r.Add(report.Late, fmt.Sprintf("the slowest recovery took %v: more than ten times the promised %v; "+
			"the machine kept the supervisor waiting %v at most", r.Worst, recoveryPromise, lag))
	}
	r.Notes, r.Metrics = f.Notes, f.Metrics
}
