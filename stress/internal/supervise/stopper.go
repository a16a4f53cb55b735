package supervise

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// stopper stops workers with SIGSTOP and has them go on with SIGCONT, rate times a
// second on average: wherever they are, or inside the lock. A stopped process is not
// dead, though it does nothing: who holds, holds on. The stops overlap, and the killer
// strikes the stopped like others.
type stopper struct {
	crew *crew
	gaps gaps

	mu      sync.Mutex
	resting bool
	release context.CancelFunc // ends the stops under way
	stops   context.Context
	halted  sync.WaitGroup // the stops under way
}

// halt is one decision of the stopper.
type halt struct {
	at    time.Duration // since the beginning of the run
	slot  int
	label uint32 // where the victim is made to stand still first; 0: wherever it is
	lasts time.Duration
}

func newStopper(c *crew, rate float64, seed uint64) *stopper {
	p := &stopper{crew: c, gaps: newGaps(rate, seed, 0x73746f70)}
	p.stops, p.release = context.WithCancel(context.Background())
	return p
}

// decide draws the next stop.
func (p *stopper) decide() halt {
	r := p.gaps.rand
	d := halt{at: p.gaps.next(), slot: r.IntN(len(p.crew.hands)), lasts: stopTime(r)}
	if traps := p.crew.plan.Traps; len(traps) > 0 && r.IntN(2) == 0 {
		d.label = traps[r.IntN(len(traps))]
	}
	return d
}

// stopTime is how long a stop lasts: as a rule less than a time slice; seldom so long
// that waits, deadlines and looks of others come and go meanwhile.
func stopTime(r *rand.Rand) time.Duration {
	if r.IntN(16) == 0 {
		return 20 * time.Millisecond << r.IntN(4)
	}
	return 100 * time.Microsecond << r.IntN(7)
}

// run stops until ctx ends. Who is stopped then goes on when the stopper is to rest.
func (p *stopper) run(ctx context.Context, begin time.Time) {
	if p.gaps.mean == 0 || p.crew.plan.NoKills {
		return
	}
	for {
		d := p.decide()
		goOn, late := until(ctx, begin, d.at)
		if !goOn {
			return
		}
		p.mu.Lock()
		if !p.resting && !late {
			p.halted.Add(1)
			go p.halt(p.stops, d)
		}
		p.mu.Unlock()
	}
}

// rest keeps the stopper from stopping. When it returns everybody goes on.
func (p *stopper) rest(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.resting == on {
		return
	}
	p.resting = on
	if on {
		p.release()
		p.halted.Wait()
	} else {
		p.stops, p.release = context.WithCancel(context.Background())
	}
}

// halt is one stop, from its beginning to its end.
func (p *stopper) halt(ctx context.Context, d halt) {
	defer p.halted.Done()
	why := fmt.Sprintf("due %.6fs for %v", d.at.Seconds(), d.lasts)
	var s *snare
	if d.label != 0 {
		why += fmt.Sprintf(" at %q", p.crew.plan.LabelName(d.label))
		if s = p.crew.lay(d.slot, d.label); s == nil || await(ctx, trapPatience, s) == nil {
			why += ", where it did not come"
		}
	}
	h := p.crew.stop(d.slot, why)
	if s != nil {
		s.lift() // it stands still by the signal now
	}
	if h != nil {
		sleep(ctx, d.lasts)
		p.crew.resume(h)
	}
}
