package explore

import (
	"math/rand/v2"
	"slices"

	"interlock/stress/internal/schedule/sim"
)

// priorities chooses as PCT does (Burckhardt and others, ASPLOS 2010): each thread has
// a random priority, and who has the highest goes on; at a few random choices the
// one who would go on falls behind all others. Time passes now and then, and processes are
// killed at random choices. A bug that needs an order of few events is found with a
// probability that does not fall with the number of threads as fast as by tossing coins.
type priorities struct {
	random *rand.Rand
	of     map[any]int  // a thread's or, while it dies, a process's
	falls  map[int]bool // at these choices
	kills  []int        // from these choices on, as soon as may be
	lowest int
	depth  int
	log    deviations
}

const (
	falls      = 3  // as many orders of two events as a schedule can force, about
	runsOn     = 50 // choices, at most, until one who was killed runs on
	passEvery  = 60 // choices, on average, until time passes though somebody could go on
	prioritySz = 1 << 20
)

// newPriorities is the schedule of a seed, for executions of about so many choices.
func newPriorities(seed uint64, length, kills int) *priorities {
	p := &priorities{
		random: rand.New(rand.NewPCG(seed, 0)),
		of:     map[any]int{}, falls: map[int]bool{},
		log: deviations{kills: kills > 0},
	}
	for range falls {
		p.falls[p.random.IntN(length)] = true
	}
	for range kills {
		p.kills = append(p.kills, p.random.IntN(1+p.random.IntN(length))) // rather early: then others can do something about it
	}
	return p
}

func (p *priorities) Choose(options []sim.Option) int {
	i := p.choose(options)
	p.log.note(p.depth, i, options)
	p.depth++
	return i
}

func (p *priorities) choose(options []sim.Option) int {
	if options[0].Do == sim.Pick {
		return p.random.IntN(len(options))
	}
	if i := p.kill(options); i >= 0 {
		if options[i].Do == sim.Late {
			p.hold(options, options[i].Process)
		}
		return i
	}
	tick := p.any(options, func(o sim.Option) bool { return o.Do == sim.Tick })
	best := p.highest(options)
	if best < 0 || tick >= 0 && p.random.IntN(passEvery) == 0 {
		return max(tick, 0)
	}
	if p.falls[p.depth] {
		p.lowest--
		p.of[who(options[best])] = p.lowest
		best = p.highest(options)
	}
	return best
}

// kill returns a death whose time has come, or -1.
func (p *priorities) kill(options []sim.Option) int {
	i := slices.IndexFunc(p.kills, func(at int) bool { return at <= p.depth })
	if i < 0 {
		return -1
	}
	victim := p.any(options, func(o sim.Option) bool { return o.Kills() > 0 })
	if victim >= 0 {
		p.kills = slices.Delete(p.kills, i, i+1)
	}
	return victim
}

// hold lets the threads of a killed process fall behind all others, until those are held
// up in turn: it is those that run on after their heir has come in that do harm.
func (p *priorities) hold(options []sim.Option, dead *sim.Process) {
	for _, o := range options {
		if o.Do == sim.Run && o.Thread.Process == dead {
			p.lowest--
			p.of[o.Thread] = p.lowest
		}
	}
	p.falls[p.depth+p.random.IntN(runsOn)] = true
}

// who has the priority of an option; nil: nobody.
func who(o sim.Option) any {
	switch o.Do {
	case sim.Run:
		return o.Thread
	case sim.Exit:
		return o.Process
	}
	return nil
}

func (p *priorities) highest(options []sim.Option) int {
	best, most := -1, 0
	for i, o := range options {
		w := who(o)
		if w == nil {
			continue
		}
		if _, ok := p.of[w]; !ok {
			p.of[w] = 1 + p.random.IntN(prioritySz)
		}
		if best < 0 || p.of[w] > most {
			best, most = i, p.of[w]
		}
	}
	return best
}

// any returns one of the options that fit, or -1.
func (p *priorities) any(options []sim.Option, fits func(o sim.Option) bool) int {
	var found []int
	for i, o := range options {
		if fits(o) {
			found = append(found, i)
		}
	}
	if len(found) == 0 {
		return -1
	}
	return found[p.random.IntN(len(found))]
}

// sample tries random schedules until the time is over. Each has a seed of its own, the
// one after the other.
func (s *scenario) sample(o *Options) *Report {
	r := s.report(o)
	defer r.close()
	kills := s.bound(o).kills
	length := 100
	for seed := o.Seed; used()-r.begin < o.For; seed++ {
		c := newPriorities(seed, length, kills)
		x := s.execute(r.Processes, c, kills > 0, false)
		r.add(x)
		length = max(length, r.Longest)
		if x.Failure != "" {
			r.Failure, r.Schedule, r.Seed = x.Failure, c.log.String(), seed
			return r
		}
	}
	return r
}
