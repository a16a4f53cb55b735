package explore

import (
	"fmt"

	"interlock/stress/internal/schedule/sim"
)

// cost is what a schedule takes from its bounds.
type cost struct{ preemptions, kills int }

func (c cost) String() string { return fmt.Sprintf("%d kills, %d preemptions", c.kills, c.preemptions) }

func costOf(o sim.Option) cost {
	c := cost{kills: o.Kills()}
	if o.Preempt {
		c.preemptions = 1
	}
	return c
}

func (c cost) plus(d cost) cost { return cost{c.preemptions + d.preemptions, c.kills + d.kills} }

func (c cost) within(bound cost) bool {
	return c.preemptions <= bound.preemptions && c.kills <= bound.kills
}

// node is a point of the schedule under way, with what could happen there.
type node struct {
	chosen int
	spent  cost // before it
	costs  []cost
}

// search goes through all schedules within a bound, depth first: each execution repeats
// the one before up to the last point where there is something left to try.
type search struct {
	bound cost
	path  []node
	depth int
	spent cost
	log   deviations
}

// begin prepares for the next execution.
func (s *search) begin() {
	s.depth, s.spent, s.log = 0, cost{}, deviations{kills: s.bound.kills > 0}
}

func (s *search) Choose(options []sim.Option) int {
	if s.depth == len(s.path) {
		s.push(options)
	}
	n := &s.path[s.depth]
	if len(n.costs) != len(options) {
		panic(fmt.Sprintf("explore: the same choices led elsewhere: %d options, not %d", len(options), len(n.costs)))
	}
	s.spent = n.spent.plus(n.costs[n.chosen])
	s.log.note(s.depth, n.chosen, options)
	s.depth++
	return n.chosen
}

func (s *search) push(options []sim.Option) {
	if len(s.path) < cap(s.path) {
		s.path = s.path[:len(s.path)+1]
	} else {
		s.path = append(s.path, node{})
	}
	n := &s.path[len(s.path)-1]
	n.chosen, n.spent, n.costs = 0, s.spent, n.costs[:0]
	for _, o := range options {
		n.costs = append(n.costs, costOf(o))
	}
}

// next moves on to a schedule that has not been tried; false: there is none.
func (s *search) next() bool {
	for len(s.path) > 0 {
		n := &s.path[len(s.path)-1]
		for n.chosen++; n.chosen < len(n.costs); n.chosen++ {
			if n.spent.plus(n.costs[n.chosen]).within(s.bound) {
				return true
			}
		}
		s.path = s.path[:len(s.path)-1]
	}
	return false
}
