package sim

import "slices"

// How a process dies:
//
//	killed    its threads stand still; or, a late death, those on a CPU run on for a
//	          while, as they do until the signal has reached them
//	walked    the kernel turns each word of its robust list that carries the TID into
//	          OWNER_DIED, one after the other, and wakes one sleeper
//	stopped   threads that ran on stand still
//	gone      nothing is left of it
//
// Each of these steps is an option of its own, so anything may happen in between.

type life int

const (
	living life = iota
	dying
	gone
)

// busy reports whether one of the scenario's threads has not come to its end.
func (p *Process) busy() bool {
	return slices.ContainsFunc(p.threads, func(t *Thread) bool { return t.role && t.state != ended })
}

// canRunOn reports whether a thread of p could run on after a kill.
func (p *Process) canRunOn() bool {
	return slices.ContainsFunc(p.threads, func(t *Thread) bool { return t.state == ready && t.sleep == nil })
}

func (w *World) kill(p *Process, late bool) {
	w.result.Kills++
	p.life = dying
	p.list.next = first
	for _, t := range p.threads {
		if !late || t.state != ready || t.sleep != nil {
			w.halt(t)
		}
	}
	w.silence(p)
	w.tracef("process %c is killed%s", 'A'+p.Index, map[bool]string{true: ", its threads run on for a while"}[late])
}

// runsOn reports whether a thread of a dying process may still run.
func (p *Process) runsOn() bool {
	return slices.ContainsFunc(p.threads, func(t *Thread) bool { return t.state == ready || t.state == blocked })
}

// silence takes back what a process had asked to happen later.
func (w *World) silence(p *Process) {
	w.timers = slices.DeleteFunc(w.timers, func(t *timer) bool { return t.owner == p })
}

// halt ends a thread wherever it is. Its goroutine is unwound at the end.
func (w *World) halt(t *Thread) {
	if t.state != ended {
		t.state = stopped
	}
	if t.sleep != nil {
		w.leaveQueues(t)
	}
}

// exit does the next step of a dying process.
func (w *World) exit(p *Process) {
	if w.walkOne(p) {
		return
	}
	if p.runsOn() {
		for _, t := range p.threads {
			w.halt(t)
		}
		w.silence(p)
		w.tracef("process %c stands still", 'A'+p.Index)
		return
	}
	p.life = gone
	w.tracef("process %c is gone", 'A'+p.Index)
}
