package oracle

import (
	"fmt"
	"slices"

	"interlock/internal/robust"
	"interlock/stress/internal/schedule/sim"
)

type mutex struct {
	heir     *sim.Process // who has taken over an orphan last
	inside   []*sim.Thread
	due      bool   // an owner died inside, and nobody has repaired it
	sections uint32 // that have come to their end
}

// changed sees owners be declared dead. A living one may do that to itself: it gives an
// orphan up that it could not repair.
func (m *mutex) changed(was, now uint32) {
	tid := was & robust.TIDMask
	if was&robust.OwnerDied != 0 && now&robust.TIDMask != 0 {
		m.heir = sim.Current().Process
	}
	if now&robust.OwnerDied == 0 || tid == 0 {
		return
	}
	if p := sim.Owner(tid); p != nil && p.Lives() && p != sim.Current().Process {
		sim.Fail("%v declares a living owner dead", sim.Current())
	}
	m.due = true
}

// Enter says that the current thread holds the mutex.
func Enter() {
	t := sim.Current()
	state.alone(t, "inside")
	if state.due && t.Process.Lives() {
		sim.Fail("%v holds an orphan, and was not told", t)
	}
	state.inside = append(state.inside, t)
}

// alone fails if somebody else is inside, unless he is dead and stands still.
func (m *mutex) alone(t *sim.Thread, what string) {
	for _, u := range m.inside {
		if !u.StandsStill() {
			sim.Fail("%v is %s while %v is inside", t, what, u)
		}
	}
}

// Leave says that it is about to unlock it.
func Leave() {
	t := sim.Current()
	state.inside = slices.DeleteFunc(state.inside, func(u *sim.Thread) bool { return u == t })
	state.sections++
}

// Repair says that the current thread was called to repair what pid left behind.
func Repair(pid int) {
	t := sim.Current()
	state.alone(t, "called for a repair")
	if !state.due {
		sim.Fail("%v is to repair, and nobody died inside", t)
	}
}

// Repaired says that it has: in vain, if it was declared dead meanwhile.
func Repaired() {
	if sim.Peek(Offsets.Word)&robust.TIDMask == sim.Current().Process.GuardianTID() {
		state.due = false
	}
}

// Holds reports whether a thread of the process is inside, or on its way there after
// taking over an orphan.
func Holds(p *sim.Process) bool {
	return state.heir == p && sim.Peek(Offsets.Word)&robust.TIDMask == p.GuardianTID() ||
		slices.ContainsFunc(state.inside, func(t *sim.Thread) bool { return t.Process == p })
}

// Orphaned says that the current thread was told of an orphan that it does not get.
func Orphaned() {
	if !state.due {
		sim.Fail("%v was told of an orphan, and there is none", sim.Current())
	}
}

// Check fails if ok is false.
func Check(ok bool, format string, args ...any) {
	if !ok {
		sim.Fail("%v: %s", sim.Current(), fmt.Sprintf(format, args...))
	}
}

// Unrecorded reports whether the process has taken the word and not yet written down who
// it is.
func Unrecorded(p *sim.Process) bool {
	const tid = 1<<23 - 1 // of the identity, in package proc
	return sim.Peek(Offsets.Word)&robust.TIDMask == p.GuardianTID() && sim.Peek(Offsets.Word+robust.OffPrev)&tid != p.GuardianTID()
}

func (m *mutex) final() string {
	word := sim.Peek(Offsets.Word)
	if sim.Kills() == 0 && word&robust.TIDMask != 0 {
		return fmt.Sprintf("at the end the mutex is %#x, not free", word)
	}
	return ""
}
