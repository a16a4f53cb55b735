package tracer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"time"

	"interlock/stress/internal/ptrace"
)

// A Case is one operation in one crowd.
type Case struct {
	play  *play
	crowd crowd
}

// Name is how a case is chosen.
func (c Case) Name() string { return c.play.name + ": " + c.crowd.String() }

// Match returns the cases whose name fits one of the patterns, or all. A pattern is a
// glob for the operation, or for all of the name.
func Match(patterns []string) (found []Case, err error) {
	fits := map[string]bool{}
	for _, p := range plays() {
		for _, c := range p.crowds {
			kase := Case{p, c}
			ok := len(patterns) == 0
			for _, pattern := range patterns {
				one, err1 := path.Match(pattern, p.name)
				two, err2 := path.Match(pattern, kase.Name())
				if err := errors.Join(err1, err2); err != nil {
					return nil, fmt.Errorf("%q: %w", pattern, err)
				}
				fits[pattern] = fits[pattern] || one || two
				ok = ok || one || two
			}
			if ok {
				found = append(found, kase)
			}
		}
	}
	for _, pattern := range patterns {
		if !fits[pattern] {
			return nil, fmt.Errorf("no operation %q", pattern)
		}
	}
	return found, nil
}

// A Row is what one case has shown.
type Row struct {
	Case
	Seen      int // addresses of the library that were executed
	Covered   int // those at which a victim was killed
	Calls     int // places where the library makes system calls
	Kills     int
	AtCalls   int // of these, before, in and after a system call
	Held      int // of these, holding the mutex
	Slow      int // of these, while it was stepped: at full speed it did not come there
	Unreached int // goals that no victim came to
	Slowest   time.Duration
	Notes     []string // what took longer than is typical
	Failures  []string
	Left      int    // how often a C program was left asleep, see release
	Skipped   string // why it cannot be played here
	Err       error  // it could not be set up
}

// goals are where victims are to be killed.
type goals struct {
	visits map[uintptr]int
	calls  map[callSite]callSeen
}

type callSite struct {
	pc uintptr
	nr int
}

type callSeen struct {
	times int
	slept bool
}

const (
	manyScouts = 3 // rounds to see where a victim comes by
	tries      = 3 // rounds in vain, until what is left is left to stepping
	triesSlow  = 8 // and then, until it counts as missed
	farthest   = 4 // what is passed more often than this is a loop: its first time counts

	// A waiter to whom a wake was due and who had looked meanwhile was perhaps not woken.
	// Several rounds tell: if it was, it sometimes goes on without having looked.
	samples  = 30
	innocent = 4 // so many are enough

	typically = time.Second // what takes longer is told, and what takes as long as limit fails

	sample = 100 // who kills at every 100th place only wants to see something soon
)

// scout lets a few victims act to their end, and notes where they come by.
func (e *engine) scout(r *Row, scouts int) goals {
	g := goals{map[uintptr]int{}, map[callSite]callSeen{}}
	for range scouts {
		visits, calls := map[uintptr]int{}, map[callSite]callSeen{}
		e.attempt(r, goal{}, ptrace.Step, watch{instruction: func(pc uintptr) { visits[pc]++ }})
		e.attempt(r, goal{}, ptrace.Calls, watch{call: func(pc uintptr, nr int, slept bool) {
			c := calls[callSite{pc, nr}]
			calls[callSite{pc, nr}] = callSeen{c.times + 1, c.slept || slept}
		}})
		for pc, n := range visits {
			g.visits[pc] = max(g.visits[pc], n)
		}
		for site, c := range calls {
			old := g.calls[site]
			g.calls[site] = callSeen{max(c.times, old.times), c.slept || old.slept}
		}
	}
	return g
}

// list puts them in order, after the end.
func (g goals) list(t *text) (all []goal) {
	all = append(all, goal{})
	for _, pc := range slices.Sorted(maps.Keys(g.visits)) {
		all = append(all, goal{pc: pc, nth: 1})
		if last := g.visits[pc]; last > 1 && last <= farthest && t.kind(pc) == protocol {
			all = append(all, goal{pc: pc, nth: last})
		}
	}
	sites := slices.SortedFunc(maps.Keys(g.calls), func(a, b callSite) int {
		return cmp.Or(cmp.Compare(a.pc, b.pc), cmp.Compare(a.nr, b.nr))
	})
	for _, s := range sites {
		phases := []phase{before, during, after}
		if g.calls[s].slept {
			phases = append(phases, within)
		}
		for n := range min(g.calls[s].times, farthest) {
			for _, when := range phases {
				all = append(all, goal{pc: s.pc, nr: s.nr, nth: n + 1, call: true, when: when})
			}
		}
	}
	return all
}

// attempt plays one round and enters what it shows.
func (e *engine) attempt(r *Row, g goal, m ptrace.Mode, w watch) outcome {
	o := e.play(r.play, r.crowd, g, m, w)
	if o.at != 0 {
		g = goal{pc: o.at, nth: 1}
	}
	switch {
	case errors.Is(o.err, errSetup):
		r.Err = o.err
	case o.err != nil:
		r.Failures = append(r.Failures, fmt.Sprintf("killed %v: %v", g, o.err))
	}
	r.Slowest = max(r.Slowest, o.slowest)
	if o.slowest > typically {
		r.Notes = append(r.Notes, fmt.Sprintf("took %s: killed %v", short(o.slowest), g))
	}
	r.Kills++
	r.Left += o.left
	if o.held {
		r.Held++
	}
	if g.call {
		r.AtCalls++
	}
	if o.err == nil && o.reached && o.looked && w.instruction == nil && w.call == nil {
		e.suspect(r, g, m)
	}
	return o
}

// suspect finds out whether a waiter was woken late, or went on only because it looked.
func (e *engine) suspect(r *Row, g goal, m ptrace.Mode) {
	woken := 0
	for range samples {
		o := e.play(r.play, r.crowd, g, m, watch{})
		if o.err != nil || !o.reached {
			return
		}
		if !o.looked {
			woken++
		}
		if woken == innocent {
			return
		}
	}
	r.Failures = append(r.Failures, fmt.Sprintf("killed %v: a waiter is not woken: in %d of %d rounds it slept until it looked by itself",
		g, samples-woken, samples))
}

// A chase is a case on its way through its goals.
type chase struct {
	*engine
	row     *Row
	options Options
	stop    func() bool
	left    map[uintptr]bool // instructions that no victim has come to yet
	covered int
}

func (c *chase) over() bool {
	return c.row.Err != nil || len(c.row.Failures) >= c.options.Failures || c.stop()
}

// run runs a case. Of the goals every every-th is taken.
func (e *engine) run(c Case, o Options, progress func(done, all int), stop func() bool) *Row {
	r := &Row{Case: c}
	scouts := manyScouts
	if o.Every >= sample {
		scouts = 1
	}
	g := e.scout(r, scouts)
	r.Seen, r.Calls = len(g.visits), len(g.calls)
	list := g.list(e.text)
	h := &chase{engine: e, row: r, options: o, stop: stop, left: map[uintptr]bool{}}
	for i, g := range list {
		if h.over() {
			break
		}
		if g.call && i%(1+o.Every/10) != 0 || !g.call && i%o.Every != 0 { // there are few calls
			continue
		}
		progress(i, len(list))
		h.pursue(g)
	}
	h.chase(ptrace.Run, tries)
	h.chase(ptrace.Step, triesSlow)
	r.Covered = h.covered
	r.Unreached += len(h.left)
	return r
}

// pursue kills a victim at a goal, if it comes there at the first try.
func (c *chase) pursue(g goal) {
	mode := ptrace.Run
	if g.call {
		mode = ptrace.Calls
	}
	o := c.attempt(c.row, g, mode, watch{})
	instruction := g.pc != 0 && !g.call && g.nth == 1
	switch {
	case o.reached && instruction:
		c.covered++
	case !o.reached && instruction:
		c.left[g.pc] = true
	case !o.reached:
		c.row.Unreached++
	}
}

// chase kills victims at any of the instructions that are left, until some victims in a
// row have come to none of them.
func (c *chase) chase(m ptrace.Mode, tries int) {
	for missed := 0; missed < tries && len(c.left) > 0 && !c.over(); {
		o := c.attempt(c.row, goal{}, m, watch{any: c.left})
		if o.at == 0 {
			missed++
			continue
		}
		missed = 0
		delete(c.left, o.at)
		c.covered++
		if m == ptrace.Step {
			c.row.Slow++
		}
	}
}
