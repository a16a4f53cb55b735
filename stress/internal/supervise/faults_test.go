package supervise

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
)

// testCrew is a crew of five, without workers, with three traps and four marks, of which
// its scenario comes by two.
func testCrew(t *testing.T) *crew {
	t.Helper()
	a, err := arena.Create(5, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	a.Points().SetNames([]string{"X1 one", "Y1 other", "X2 two", "Y2 another"})
	plan := &scenario.Plan{Traps: []uint32{7, 8, 9}, Marks: []string{"X"}}
	return &crew{plan: plan, arena: a, hands: make([]*hand, 5), journal: newJournal()}
}

// The same seed makes the same decisions: whom, where, when, for how long.
func TestDecisionsFollowFromTheSeed(t *testing.T) {
	const n = 1000
	c := testCrew(t)
	draw := func(seed uint64) (strikes []strike, halts []halt) {
		f := newFaults(c, Options{KillRate: 80, StopRate: 40, Seed: seed})
		for range n {
			strikes, halts = append(strikes, f.killer.decide()), append(halts, f.stopper.decide())
		}
		return strikes, halts
	}
	k1, s1 := draw(1)
	k2, s2 := draw(1)
	k3, s3 := draw(2)
	if !slices.Equal(k1, k2) || !slices.Equal(s1, s2) {
		t.Error("one seed, two lists")
	}
	if slices.Equal(k1, k3) || slices.Equal(s1, s3) {
		t.Error("two seeds, one list")
	}
	// They are spread over all workers, all traps, and time as the rate has it.
	slots, labels := map[int]int{}, map[uint32]int{}
	for i := range n {
		slots[k1[i].slot]++
		slots[s1[i].slot]++
		labels[k1[i].label]++
		labels[s1[i].label]++
	}
	if len(slots) != 5 || len(labels) != 4 || labels[0] < n/2 {
		t.Errorf("victims %v, labels %v", slots, labels)
	}
	for what, rate := range map[string]float64{"kills": n / k1[n-1].at.Seconds(), "stops": n / s1[n-1].at.Seconds() * 2} {
		if rate < 60 || rate > 100 {
			t.Errorf("%s: %.0f a second", what, rate)
		}
	}
}

// If points are wanted, every trap and every mark of the scenario's has its turn, with a
// death before and without; and so has everybody as a victim.
func TestEveryPointHasItsTurn(t *testing.T) {
	c := testCrew(t)
	draw := func(seed uint64) (all []strike) {
		k := newKiller(c, Options{KillRate: 80, Seed: seed, Points: true})
		for range 1000 {
			all = append(all, k.decide())
		}
		return all
	}
	first := draw(1)
	if !slices.Equal(first, draw(1)) || slices.Equal(first, draw(2)) {
		t.Error("the decisions do not follow from the seed")
	}
	turns := map[uint32][2]int{}
	for _, d := range first {
		n := turns[d.label]
		n[min(d.bait, 1)]++
		turns[d.label] = n
	}
	if len(turns) != 6 || turns[0][0] < 400 || turns[0][1] != 0 {
		t.Errorf("turns %v", turns)
	}
	for _, label := range []uint32{7, 8, 9, arena.PointBase, arena.PointBase + 2} {
		if n := turns[label]; n[0] < 20 || n[1] < 20 {
			t.Errorf("label %d: %d times, and %d times after a death", label, n[0], n[1])
		}
	}
	if name := c.plan.TargetName(c.arena.Points(), arena.PointBase+2); name != "X2 two" {
		t.Errorf("target %q", name)
	}
}

// conducted runs good workers, with what conduct does to them.
func conducted(t *testing.T, hang time.Duration, conduct func(c *crew)) *report.Result {
	t.Helper()
	return run(t, "good", func(p *scenario.Plan, o *Options) {
		o.Shape, o.Duration, o.Hang = scenario.Shape{Procs: 1, Lanes: 1}, 200*time.Millisecond, hang
		p.Directed = true
		p.Conduct = func(st scenario.Stage) { conduct(st.(*stage).crew) }
	})
}

func stopped(c *crew) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.still
}

// While a worker is stopped it is no hang that nobody does anything, and it is not dead.
func TestStoppedIsNotHung(t *testing.T) {
	const hang = 300 * time.Millisecond
	r := conducted(t, hang, func(c *crew) {
		h := c.stop(0, "test")
		if h == nil || c.stop(0, "again") != nil {
			t.Error("a worker that is there is not stopped, or twice")
			return
		}
		time.Sleep(3 * hang)
		c.resume(h)
	})
	if r.Code != report.Pass || r.Stops != 1 || r.Kills != 0 {
		t.Errorf("code %d, %d stops, %d kills", r.Code, r.Stops, r.Kills)
	}
}

// A stopped worker can be killed, is replaced, and counts as stopped no longer.
func TestTheStoppedAreKilledToo(t *testing.T) {
	r := conducted(t, patience, func(c *crew) {
		h := c.stop(0, "test")
		c.kill(0, false, "test")
		for begin := time.Now(); !c.ready(0) && time.Since(begin) < patience; {
			time.Sleep(time.Millisecond)
		}
		if n := stopped(c); n != 0 {
			t.Errorf("%d count as stopped", n)
		}
		c.resume(h)
	})
	if r.Code != report.Pass || r.Kills != 1 || r.StoppedKills != 1 {
		t.Errorf("code %d, %d kills, %d of them of the stopped", r.Code, r.Kills, r.StoppedKills)
	}
}

// Stops and kills at once, many of both: everybody goes on for a pause, and in the end.
func TestStopsEndInTime(t *testing.T) {
	for lasts := time.Second; ; lasts *= 2 {
		pauses := 0
		r := run(t, "good", func(p *scenario.Plan, o *Options) {
			o.KillRate, o.StopRate, o.Duration = 20, 200, lasts
			p.Conduct = func(st scenario.Stage) {
				for st.Sleep(20 * time.Millisecond) {
					if !st.Pause() {
						return
					}
					if n := stopped(st.(*stage).crew); n != 0 {
						t.Errorf("%d are stopped in a pause", n)
					}
					pauses++
					st.Resume()
				}
			}
		})
		if r.Code != report.Pass {
			t.Fatalf("code %d", r.Code)
		}
		if r.Stops >= 20 && pauses >= 3 {
			return
		}
		if lasts > patience {
			t.Fatalf("%d stops, %d pauses in %v", r.Stops, pauses, lasts)
		}
	}
}

// What was done in two runs with the same seed at the same due time was the same.
func TestASeedMakesTheSameSchedule(t *testing.T) {
	what := regexp.MustCompile(`(kill|stop) +worker (\d+) pid \d+ (?:\(stopped\) )?due (\d+\.\d+)s(?: for (\S+))?(?: at ("[^"]*"))?`)
	done := func(seed uint64) map[string]string {
		r := run(t, "reacher", func(p *scenario.Plan, o *Options) {
			o.KillRate, o.StopRate, o.Duration, o.Keep, o.Seed = 40, 40, time.Second, true, seed
		})
		all := map[string]string{}
		for _, m := range what.FindAllStringSubmatch(string(r.Evidence["schedule.txt"]), -1) {
			all[m[1]+m[3]] = m[2] + m[4] + m[5]
		}
		return all
	}
	common := func(a, b map[string]string) (same, other int) {
		for due, what := range a {
			if b[due] == what {
				same++
			} else if b[due] != "" {
				other++
			}
		}
		return same, other
	}
	for tries := 0; ; tries++ {
		first := done(1)
		if same, other := common(first, done(1)); other != 0 {
			t.Fatalf("%d the same, %d not", same, other)
		} else if same < 10 && tries < 20 {
			continue // a busy machine leaves out what is late
		} else if same < 10 {
			t.Fatalf("only %d in both runs", same)
		}
		if same, _ := common(first, done(2)); same > 0 {
			t.Errorf("another seed, and %d the same", same)
		}
		return
	}
}

// A run goes on until somebody has been killed at every point that workers come by, and
// says of each how often they came and were killed there. Here the rate leaves it all to
// that hunt.
func TestPointsAreHit(t *testing.T) {
	r := run(t, "reacher", func(p *scenario.Plan, o *Options) {
		o.KillRate, o.Points, o.Keep, o.Duration = 0.001, true, true, 50*time.Millisecond
	})
	if r.Code != report.Pass || len(r.Points) != 2 {
		t.Fatalf("code %d, points %v", r.Code, r.Points)
	}
	for _, p := range r.Points {
		if !p.Trap || p.Passed == 0 || p.Kills == 0 || p.Name != "first" && p.Name != "second" {
			t.Errorf("%+v", p)
		}
	}
	if text := string(r.Evidence["schedule.txt"]); !strings.Contains(text, `at "second", first to come there`) {
		t.Errorf("schedule:\n%s", text)
	}
}

// Delays are wanted while the scenario runs, and in no calm stretch; one worker has a low
// priority.
func TestChaosHasItsTime(t *testing.T) {
	var during, calm, after uint32
	victim := -1
	r := run(t, "good", func(p *scenario.Plan, o *Options) {
		o.Chaos = scenario.ChaosHeavy
		p.Conduct = func(st scenario.Stage) {
			points := st.Arena().Points()
			for points.Chaos.Load() == 0 && st.Sleep(time.Millisecond) {
			}
			during = points.Chaos.Load()
			st.Calm(true)
			calm = points.Chaos.Load()
			st.Calm(false)
			victim = int(points.Victim.Load()) - 1
			if points.Idle.Load() != 1 {
				t.Error("the victim has not the lowest priority")
			}
			var attr *unix.SchedAttr
			for slot := range 3 {
				attr, _ = unix.SchedGetAttr(st.PID(slot), 0)
				if idle := attr != nil && attr.Policy == unix.SCHED_IDLE; idle != (slot == victim) {
					t.Errorf("worker %d: idle %v, the victim is %d", slot, idle, victim)
				}
			}
		}
		p.Check = func(a *arena.Arena, f *scenario.Findings) { after = a.Points().Chaos.Load() }
	})
	if r.Code != report.Pass || during != scenario.ChaosHeavy || calm != 0 || after != 0 || victim < 0 {
		t.Errorf("code %d, chaos %d, %d when calm, %d afterwards, victim %d", r.Code, during, calm, after, victim)
	}
}

// While it is to be quiet nobody is killed, and nobody once the run is at its end.
func TestQuiet(t *testing.T) {
	r := run(t, "good", func(p *scenario.Plan, o *Options) {
		p.Quiet, p.Traps, o.KillRate = time.Hour, []uint32{scenario.LabelInside}, 100
	})
	if r.Kills != 0 || r.Code != report.Pass {
		t.Errorf("%d kills, %v", r.Kills, r.Problems)
	}
}

// Who is killed only at a trap is not killed if it does not come there.
func TestOnlyTraps(t *testing.T) {
	r := run(t, "good", func(p *scenario.Plan, o *Options) {
		p.OnlyTraps, p.Traps, o.KillRate = true, []uint32{scenario.LabelInside}, 100
	})
	if r.Kills != 0 || r.Code != report.Pass {
		t.Errorf("%d kills, %v", r.Kills, r.Problems)
	}
}
