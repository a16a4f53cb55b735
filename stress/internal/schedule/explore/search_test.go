package explore

import (
	"testing"

	"interlock/stress/internal/schedule/sim"
)

// choices plays two threads of some steps each with a search, and counts schedules.
func choices(bound cost, steps int) (schedules int, repeated bool) {
	threads := []*sim.Thread{{}, {}}
	seen := map[string]bool{}
	s := &search{bound: bound}
	for again := true; again; again = s.next() {
		s.begin()
		left, now, order := []int{steps, steps}, 0, ""
		for left[0]+left[1] > 0 {
			other := 1 - now
			switch {
			case left[now] == 0:
				now = other
			case left[other] > 0:
				options := []sim.Option{{Do: sim.Run, Thread: threads[now]}, {Do: sim.Run, Thread: threads[other], Preempt: true}}
				if s.Choose(options) == 1 {
					now = other
				}
			}
			left[now]--
			order += string(rune('a' + now))
		}
		schedules++
		repeated = repeated || seen[order]
		seen[order] = true
	}
	return schedules, repeated
}

// Every order of steps is tried, once: with no bound that matters they are the ways to
// place the second thread's steps among all.
func TestSearchIsComplete(t *testing.T) {
	// The first step is the first thread's unless it is held up at once.
	for _, c := range []struct{ preemptions, steps, want int }{
		{0, 3, 1},
		{1, 3, 1 + 3},
		{100, 3, 20},
		{100, 4, 70},
	} {
		n, repeated := choices(cost{preemptions: c.preemptions}, c.steps)
		if n != c.want || repeated {
			t.Errorf("%d steps, %d preemptions: %d schedules, not %d; the same twice: %v", c.steps, c.preemptions, n, c.want, repeated)
		}
	}
}

func TestScheduleIsReadBack(t *testing.T) {
	var d deviations
	d.kills = true
	options := []sim.Option{{Do: sim.Tick}, {Do: sim.Pick, Case: 1}, {Do: sim.Pick, Case: 2}}
	d.note(3, 0, options)
	d.note(7, 2, options)
	if d.String() != "mortal,7:case2" {
		t.Error(d.String())
	}
	r, err := newReplay(d.String())
	if err != nil || !r.kills {
		t.Fatal(err, r)
	}
	for i := range 9 {
		if got := r.Choose(options); (got == 2) != (i == 7) {
			t.Errorf("at %d: %d", i, got)
		}
	}
	if r.Choose(nil); r.wrong != "" {
		t.Error(r.wrong)
	}
	for _, bad := range []string{"", "x", "1", "a:tick"} {
		if _, err := newReplay(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	r, _ = newReplay("0:killA")
	if r.Choose(options); r.wrong == "" {
		t.Error("a schedule that does not fit was followed")
	}
}

func TestOptions(t *testing.T) {
	good := Options{Preemptions: -1, Kills: -1, For: 1}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(o *Options){
		"no such scenario":       func(o *Options) { o.Scenario = "nosuch" },
		"too many processes":     func(o *Options) { o.Processes = MostProcesses + 1 },
		"a schedule of anything": func(o *Options) { o.Schedule = "none" },
		"unprepared":             func(o *Options) { o.Scenario, o.Kills = "mutex", 1 },
		"no time":                func(o *Options) { o.For = 0 },
		"two ways at once":       func(o *Options) { o.Random, o.Preemptions = true, 1 },
	} {
		o := good
		if spoil(&o); o.Check() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
