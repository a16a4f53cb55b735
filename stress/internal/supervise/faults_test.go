package supervise

import (
	"slices"
	"testing"
	"time"

	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
)

// The same seed makes the same decisions: whom, where, when, for how long.
func TestDecisionsFollowFromTheSeed(t *testing.T) {
	const n = 1000
	c := &crew{plan: &scenario.Plan{Traps: []uint32{7, 8, 9}}, hands: make([]*hand, 5)}
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

// conducted runs good workers, with what conduct does to them.
func conducted(t *testing.T, hang time.Duration, conduct func(c *crew)) *report.Result {
	t.Helper()
	return run(t, "good", func(p *scenario.Plan, o *Options) {
		o.Shape, o.Duration, o.Hang = scenario.Shape{Procs: 1, Lanes: 1}, 200*time.Millisecond, hang
		p.Directed = true
		p.Conduct = func(st scenario.Stage) { conduct(st.(*stage).crew) }
	})
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
		c.resume(h)
		if c.still != 0 || h.still {
			t.Errorf("%d count as stopped", c.still)
		}
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
					if c := st.(*stage).crew; c.still != 0 {
						t.Errorf("%d are stopped in a pause", c.still)
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
