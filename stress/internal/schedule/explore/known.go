package explore

import (
	"fmt"
	"io"
	"slices"

	"interlock/stress/internal/schedule/sim"
)

// A runOn makes one schedule of a late death: the first process that can die so does; the
// kernel marks what it held; the others go on for some choices; and then the dead one's
// thread runs on. Where a scenario is known to fail by that, it is soon shown.
type runOn struct {
	after  int          // choices of the others
	victim *sim.Process // once it is killed
	marked bool
	depth  int
	log    deviations
}

func (c *runOn) Choose(options []sim.Option) int {
	i := max(0, slices.IndexFunc(options, c.wants))
	switch {
	case options[i].Do == sim.Late:
		c.victim = options[i].Process
	case options[i].Do == sim.Exit:
		c.marked = true
	case c.marked:
		c.after--
	}
	c.log.note(c.depth, i, options)
	c.depth++
	return i
}

func (c *runOn) wants(o sim.Option) bool {
	switch {
	case c.victim == nil:
		return o.Do == sim.Late
	case !c.marked:
		return o.Do == sim.Exit
	}
	return o.Do == sim.Run && (o.Thread.Process == c.victim) == (c.after <= 0)
}

// stillFails shows a known limit, which nobody needs to search for. If it is gone, the
// source has become better, and who says that it is there is to be told.
func (s *scenario) stillFails(out io.Writer) (code int) {
	const longest = 200
	for after := range longest {
		c := &runOn{after: after, log: deviations{kills: true}}
		if x := s.execute(s.processes, c, true, false); x.Failure != "" {
			fmt.Fprintf(out, "%-17s fails, as is known: %s\n  to see it: stress schedules -scenario %s -schedule %s\n",
				s.name, s.known, s.name, c.log)
			return 0
		}
	}
	fmt.Fprintf(out, "%-17s FAILED: what is known to fail does not: %s\n", s.name, s.known)
	return 1
}
