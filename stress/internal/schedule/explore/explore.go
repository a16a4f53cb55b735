// Package explore searches the schedules of a scenario for one in which something goes
// wrong.
//
//	scenarios.go  the scenarios
//	scenario.go   what a scenario is
//	search.go     every schedule with so many preemptions and deaths
//	random.go     schedules by random priorities
//	schedule.go   a schedule written down, and followed again
//	explore.go    a scenario's search
//	main.go       the command line, and the report
package explore

import (
	"time"

	"interlock/stress/internal/schedule/sim"
)

// A Report is what a search has found.
type Report struct {
	Scenario  string
	Processes int
	Schedules int     // tried, each counted once
	All       bool    // every schedule within the bound was tried
	Complete  string  // up to this bound, if not all were
	Longest   int     // choices in a schedule
	Looks     int     // schedules in which somebody could go on only after a look
	Seconds   float64 // of CPU time
	Failure   string
	Schedule  string // which fails
	Seed      uint64 // of a random one

	begin time.Duration
}

func (r *Report) add(x *sim.Result) {
	r.Schedules++
	r.Longest = max(r.Longest, x.Choices)
	if x.Looks > 0 {
		r.Looks++
	}
}

// close ends the search.
func (r *Report) close() { r.Seconds = (used() - r.begin).Seconds() }

// exhaust tries all schedules, those with few deaths and preemptions first, so that
// what is found is short.
func (s *scenario) exhaust(o *Options) *Report {
	r := s.report(o)
	defer r.close()
	bound := s.bound(o)
	r.All = true
	for k := range bound.kills + 1 {
		for p := range bound.preemptions + 1 {
			if !s.level(r, cost{p, k}, r.begin+o.For) {
				r.All = false
				return r
			}
			r.Complete = cost{p, k}.String()
		}
	}
	return r
}

func (s *scenario) report(o *Options) *Report {
	return &Report{Scenario: s.name, Processes: max(s.processes, o.Processes), begin: used()}
}

func (s *scenario) bound(o *Options) cost {
	b := cost{s.preemptions, s.kills}
	if o.Preemptions >= 0 {
		b.preemptions = o.Preemptions
	}
	if o.Kills >= 0 && s.kills > 0 { // where nobody dies, nobody is prepared for it
		b.kills = o.Kills
	}
	return b
}

// level tries the schedules that cost exactly so much. It reports whether there was time
// for all of them.
func (s *scenario) level(r *Report, exact cost, until time.Duration) (all bool) {
	c := &search{bound: exact}
	for again := true; again; again = c.next() {
		if used() > until {
			return false
		}
		c.begin()
		x := s.execute(r.Processes, c, exact.kills > 0, false)
		if c.spent == exact {
			r.add(x)
		}
		if x.Failure != "" {
			r.Failure, r.Schedule = x.Failure, c.log.String()
			return false
		}
	}
	return true
}

// hunt looks for a failure in any scenario, and first where it is likeliest.
func hunt(o *Options) *Report {
	half := *o
	half.For /= 2
	if some := near(o, o.chosen()); some != nil {
		if r := huntIn(&half, some); r.Failure != "" {
			return r
		}
		o = &half
	}
	return huntIn(o, o.chosen())
}

// huntIn tries schedules at random, and in turn with that what costs least, in all of
// them, and so on, a while for each.
func huntIn(o *Options, chosen []*scenario) *Report {
	total := &Report{begin: used()}
	defer total.close()
	for _, exact := range []cost{{0, 0}, {0, 1}, {1, 0}, {1, 1}, {0, 2}, {2, 0}} {
		if total.found(sampleAll(o, chosen, uint64(exact.preemptions+4*exact.kills))) {
			return total
		}
		for _, s := range chosen {
			if s.may(exact) && total.found(s.part(o, exact, o.For/60)) || used()-total.begin > o.For {
				return total
			}
		}
	}
	for round := uint64(16); used()-total.begin < o.For; round++ {
		if total.found(sampleAll(o, chosen, round)) {
			return total
		}
	}
	return total
}

// sampleAll tries random schedules of each scenario, others in each round.
func sampleAll(o *Options, chosen []*scenario, round uint64) *Report {
	total := &Report{begin: used()}
	slice := *o
	slice.For, slice.Seed = o.For/300, o.Seed+round<<32
	for _, s := range chosen {
		if total.found(s.sample(&slice)) {
			break
		}
	}
	return total
}

// may reports whether a level is one of the scenario's.
func (s *scenario) may(exact cost) bool {
	return exact.within(cost{max(2, s.preemptions), s.kills})
}

// part is one level of a scenario.
func (s *scenario) part(o *Options, exact cost, limit time.Duration) *Report {
	r := s.report(o)
	s.level(r, exact, r.begin+limit)
	return r
}

// found adds a part of a hunt, and reports whether it ends the hunt.
func (r *Report) found(part *Report) bool {
	r.Schedules += part.Schedules
	r.Scenario, r.Processes, r.Failure, r.Schedule = part.Scenario, part.Processes, part.Failure, part.Schedule
	return part.Failure != ""
}
