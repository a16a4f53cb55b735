package tracer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"interlock/stress/internal/procfs"
	"interlock/stress/internal/ptrace"
)

// A hunt is the traced part of a round.
type hunt struct {
	e     *engine
	r     *round
	goal  goal
	watch watch
	t     *ptrace.Tracee

	count   int // how often the goal has been passed
	in      int // the thread that is in the call
	since   time.Time
	pc      uintptr // which call it is in
	at      uintptr // which of several goals it came to
	reached bool
	struck  sync.Once
}

func (h *hunt) run(m ptrace.Mode) (err error) {
	defer close(h.r.dead)
	h.t, err = ptrace.Attach(h.r.v.pid)
	if err != nil {
		h.r.v.end()
		return fmt.Errorf("%w: %w", errSetup, err)
	}
	defer h.t.Close()
	patience := limit
	if m == ptrace.Step {
		patience *= 6
	}
	hung := time.AfterFunc(patience, h.strike)
	err = h.follow(m)
	late := !hung.Stop()
	h.strike()
	h.t.Reap()
	switch {
	case errors.Is(err, ptrace.ErrGone) && late && !h.reached:
		return fmt.Errorf("the victim %w", errHang)
	case errors.Is(err, ptrace.ErrGone) && !h.reached:
		return fmt.Errorf("the victim ended by itself: %w", err)
	case errors.Is(err, ptrace.ErrGone):
		return nil
	}
	return err
}

func (h *hunt) follow(m ptrace.Mode) error {
	if m != ptrace.Step {
		if err := h.t.Trap(h.e.end); err != nil {
			return err
		}
	}
	for _, pc := range h.traps(m) {
		if err := h.t.Trap(pc); err != nil {
			return err
		}
	}
	if m == ptrace.Step {
		clear(h.e.text.pauses)
		if err := h.t.Region(h.e.text.steps, entries()); err != nil {
			return err
		}
	}
	h.t.Start(m)
	if err := h.r.v.tell("act %d", slices.Index(plays(), h.r.play)); err != nil {
		return err
	}
	err := h.t.Follow(m, h.on)
	if err == nil {
		err = h.t.Freeze() // the others too: it may be the ticker that came to the trap
	}
	return err
}

// traps are where the victim is to stop at full speed.
func (h *hunt) traps(m ptrace.Mode) []uintptr {
	switch {
	case m != ptrace.Run:
		return nil
	case h.goal.pc != 0:
		return []uintptr{h.goal.pc}
	}
	return slices.Collect(maps.Keys(h.watch.any))
}

// strike looks at what is, and kills. The victim stands still, or is in the kernel.
func (h *hunt) strike() {
	h.struck.Do(func() {
		h.r.look()
		h.t.Kill()
	})
}

func (h *hunt) on(s ptrace.Stop) ptrace.Verdict {
	switch s.Kind {
	case ptrace.Enters:
		return h.enters(s)
	case ptrace.Leaves:
		return h.leaves(s)
	}
	if s.PC == h.e.end {
		h.r.truth.ended = true
		h.reached = h.reached || h.goal == goal{}
		return ptrace.Halt
	}
	if h.watch.instruction != nil && h.e.text.ours(s.PC) {
		h.watch.instruction(s.PC)
	}
	if h.watch.any[s.PC] {
		h.at, h.reached = s.PC, true
		return ptrace.Halt
	}
	if s.PC == h.goal.pc && !h.goal.call {
		if h.count++; h.count == h.goal.nth {
			h.reached = true
			return ptrace.Halt
		}
	}
	return ptrace.GoOn
}

// enters: of interest are the calls that the library makes. Which one it is its return
// address tells.
func (h *hunt) enters(s ptrace.Stop) ptrace.Verdict {
	i := slices.IndexFunc(h.t.Callers(s, 16), func(pc uintptr) bool { return h.e.text.ours(pc - 1) })
	if i < 0 || h.in != 0 {
		return ptrace.GoOn
	}
	pc := h.t.Callers(s, 16)[i] - 1
	if h.watch.call != nil {
		h.in, h.pc, h.since = s.TID, pc, time.Now()
		return ptrace.GoOn
	}
	if !h.goal.call || pc != h.goal.pc || s.Call != h.goal.nr {
		return ptrace.GoOn
	}
	if h.count++; h.count != h.goal.nth {
		return ptrace.GoOn
	}
	h.reached = true
	switch h.goal.when {
	case before:
		return ptrace.Halt
	case during:
		h.struck.Do(h.r.look)
		return ptrace.Strike
	case within:
		go h.strikeAsleep(s.TID)
	}
	h.in = s.TID
	return ptrace.GoOn
}

// strikeAsleep kills when a thread has gone to sleep.
func (h *hunt) strikeAsleep(tid int) {
	for !h.r.isDead() {
		if procfs.State(h.r.v.pid, tid) == "S" {
			h.strike()
			return
		}
	}
}

func (h *hunt) leaves(s ptrace.Stop) ptrace.Verdict {
	if s.TID != h.in {
		return ptrace.GoOn
	}
	h.in = 0
	if h.watch.call == nil {
		return ptrace.Halt
	}
	h.watch.call(h.pc, s.Call, time.Since(h.since) > sleepsFor)
	return ptrace.GoOn
}

// sleepsFor: a call that takes so long was asleep.
const sleepsFor = 500 * time.Microsecond
