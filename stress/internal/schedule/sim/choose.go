package sim

import (
	"fmt"
	"runtime"
)

// Do is what an option is.
type Do int

const (
	Run  Do = iota // a thread goes on
	Tick           // the earliest timer fires
	Exit           // the kernel does one step for a dying process
	Kill           // a process is killed, and stands still at once
	Late           // a process is killed, and its threads run on for a while
	Pick           // one of several ready cases of a select
)

// An Option is one thing that may happen at a point.
type Option struct {
	Do      Do
	Thread  *Thread  // Run
	Process *Process // Exit, Kill, Late
	Case    int      // Pick
	Preempt bool     // a thread that could go on is held up by it
}

// Kills is how many deaths the option costs.
func (o Option) Kills() int {
	if o.Do == Kill || o.Do == Late {
		return 1
	}
	return 0
}

// Label names the option, for a schedule that is written down.
func (o Option) Label() string {
	switch o.Do {
	case Run:
		return o.Thread.Label()
	case Tick:
		return "tick"
	case Pick:
		return fmt.Sprintf("case%d", o.Case)
	}
	verb := map[Do]string{Exit: "exit", Kill: "kill", Late: "late"}[o.Do]
	return fmt.Sprintf("%s%c", verb, 'A'+o.Process.Index)
}

// Label names a thread by its process and its place there.
func (t *Thread) Label() string {
	return fmt.Sprintf("%c%d", 'A'+t.Process.Index, t.tid-t.Process.PID)
}

// A Chooser says which of the options happens. The first is what happens without it:
// the current thread goes on, if it can.
type Chooser interface {
	Choose(options []Option) int
}

// The kinds of points.
type kind int

const (
	local  kind = iota // only threads of the same process could notice what follows
	shared             // anybody could
	yield              // the thread leaves the CPU to others
)

// limits of an execution. Who exceeds them goes round in circles.
const (
	mostPoints = 20_000
	mostLocal  = 200_000
	mostIdle   = 60
	fewIdle    = 6 // for those who have a reason to wait for ever
)

// point is where the current thread stops before an operation.
func (w *World) point(k kind) {
	if w == nil {
		return // package variables are being initialised
	}
	if w.over {
		runtime.Goexit()
	}
	t := w.current
	w.count(k)
	if parent := t.parent; parent != nil {
		t.parent = nil
		w.handTo(parent)
		w.wait(t)
		return
	}
	if w.calm {
		return
	}
	for {
		w.list(t, k)
		if len(w.options) == 1 && w.options[0].Thread == t {
			return
		}
		next := w.happen(w.choose())
		switch {
		case next == t:
			return
		case next != nil:
			w.handTo(next)
			w.wait(t)
			return
		case t.state != ready:
			w.away(t)
			return
		}
	}
}

func (w *World) count(k kind) {
	if k == local {
		w.locals++
	} else {
		w.result.Points++
	}
	if w.result.Points > mostPoints || w.locals > mostLocal {
		w.fail(fmt.Sprintf("%v goes round in circles", w.current))
	}
}

// away gives the baton to somebody else, since t cannot go on, and returns when t has
// got it back.
func (w *World) away(t *Thread) {
	next, over := w.successor(t), t.state == ended // from handTo on the state is others' to change
	if next == t {
		return
	}
	if next != nil {
		w.handTo(next)
	}
	if !over {
		w.wait(t)
	}
}

// successor chooses who goes on after t. It is nil if the execution is over.
func (w *World) successor(t *Thread) *Thread {
	if parent := t.parent; parent != nil {
		t.parent = nil
		return parent
	}
	for !w.over {
		if w.complete() {
			if !w.calm {
				w.finish()
				return nil
			}
			w.begin()
		}
		w.list(t, yield)
		if w.onlyTime() && !w.mayWait() {
			return nil
		}
		if next := w.happen(w.choose()); next != nil {
			return next
		}
	}
	return nil
}

// list notes what may happen at a point of t.
func (w *World) list(t *Thread, k kind) {
	w.options = w.options[:0]
	goesOn := t.state == ready && k != yield
	if goesOn {
		w.add(Option{Do: Run, Thread: t})
	}
	goesOn = goesOn && t.Process.life == living // the killed may be held up for nothing
	w.listThreads(t, k, goesOn)
	if len(w.options) == 0 && t.state == ready {
		w.add(Option{Do: Run, Thread: t}) // it yields, and nobody else can go on
	}
	if k == local || w.calm && len(w.options) > 0 {
		return
	}
	if len(w.timers) > 0 {
		w.add(Option{Do: Tick, Preempt: len(w.options) > 0})
	}
	if w.Kill && !w.calm {
		w.listKills(t, goesOn)
	}
}

func (w *World) add(o Option) { w.options = append(w.options, o) }

// listThreads adds the kernel's work for the dying, and those who can go on beside t.
func (w *World) listThreads(t *Thread, k kind, goesOn bool) {
	if k != local {
		for _, p := range w.procs {
			if p.life == dying {
				w.add(Option{Do: Exit, Process: p, Preempt: goesOn})
			}
		}
	}
	of := w.threads
	if k == local {
		of = t.Process.threads
	}
	after := 0
	for i, u := range of {
		if u == t {
			after = i + 1
		}
	}
	for i := range of {
		if u := of[(after+i)%len(of)]; u != t && u.state == ready {
			w.add(Option{Do: Run, Thread: u, Preempt: goesOn})
		}
	}
}

// listKills adds deaths. To kill another process than that which runs takes a
// preemption too: the same process could have been killed at its own points.
func (w *World) listKills(t *Thread, goesOn bool) {
	for _, p := range w.procs {
		if p.life != living || !p.busy() || w.Mortal != nil && !w.Mortal(p) {
			continue
		}
		preempt := goesOn && p != t.Process
		w.add(Option{Do: Kill, Process: p, Preempt: preempt})
		if w.Config.Late && !preempt && p.canRunOn() {
			w.add(Option{Do: Late, Process: p})
		}
	}
}

func (w *World) choose() Option {
	if len(w.options) == 1 || w.calm {
		return w.options[0]
	}
	w.result.Choices++
	return w.options[w.Chooser.Choose(w.options)]
}

// happen makes an option come true, and returns the thread that goes on if that is
// decided by it.
func (w *World) happen(o Option) *Thread {
	switch o.Do {
	case Run:
		return o.Thread
	case Tick:
		w.tick()
	case Exit:
		w.exit(o.Process)
	case Kill, Late:
		w.kill(o.Process, o.Do == Late)
	}
	return nil
}

// onlyTime reports whether nobody can go on.
func (w *World) onlyTime() bool {
	return len(w.options) == 0 || w.options[0].Do == Tick || w.options[0].Kills() > 0
}

// mayWait decides what it means that nobody can go on. Without a death, nobody may
// have to wait for a look: then a wake was lost. After one that took a wake along, a
// look is needed; but if many do not help, those who wait do so for ever.
func (w *World) mayWait() bool {
	looks := w.onlyLooks()
	switch {
	case looks && w.idle > fewIdle && w.excused():
		w.result.Looks = 0
		w.finish()
		return false
	case w.idle > mostIdle || len(w.timers) == 0:
		w.failAsleep("asleep for ever")
		return false
	case looks && (w.result.Kills == 0 || w.Strict) && !w.calm:
		w.failAsleep("a wake was lost: nobody goes on before a look")
		return false
	}
	w.idle++
	if looks {
		w.result.Looks++
	}
	return true
}

// excused reports whether who waits for ever has a reason to, by somebody's death.
func (w *World) excused() bool { return w.result.Kills > 0 && w.Excused != nil && w.Excused() }

// failAsleep ends the execution as failed, and says who sleeps.
func (w *World) failAsleep(why string) {
	for _, t := range w.threads {
		if t.role && t.state == blocked && t.Process.life == living {
			why += fmt.Sprintf("; %v waits for %s", t, t.waits)
		}
	}
	w.result.Failure = why
	w.trace("FAILURE: " + why)
	w.finish()
}

// Yield is where the current thread leaves the CPU to others.
func Yield() {
	w := world
	if w.over {
		runtime.Goexit()
	}
	w.count(shared)
	t := w.current
	if t.parent == nil {
		w.away(t)
	}
}
