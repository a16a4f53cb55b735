package supervise

import (
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/report"
)

// deaths are the times from kill to repair, and the number of workers that were killed
// while they held the lock and never mourned.
type deaths struct {
	times  *report.Latency
	missed int
}

func newDeaths() *deaths { return &deaths{times: report.NewLatency()} }

func (d *deaths) clone() *deaths {
	c := newDeaths()
	c.times.Merge(d.times)
	c.missed = d.missed
	return c
}

func (d *deaths) count(g *arena.Grave) {
	at, repaired := g.At.Load(), g.Repaired.Load()
	if repaired != 0 {
		d.times.Record(time.Duration(max(0, repaired-at)), 1)
	} else if g.Held.Load() != 0 {
		d.missed++
	}
}
