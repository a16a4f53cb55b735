package inspect

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"interlock/internal/layout"
	"interlock/semaphore"
)

// semaphore tells its count; nobody owns a permit, so nobody can be accused.
func (p *pass) semaphore(it *Item, b []byte) {
	ne := binary.NativeEndian
	value, waiters := ne.Uint32(b), ne.Uint32(b[offWaiters:])
	it.State = "permits"
	it.Text = fmt.Sprintf("%d permits", value)
	if value == 0 {
		it.State = "empty"
	}
	if waiters > 0 {
		it.Text += fmt.Sprintf(", %d counted as waiting (killed ones stay counted: harmless)", waiters)
	}
	switch {
	case value > semaphore.MaxValue:
		it.State = "impossible"
		it.Advice = Advice{Act, fmt.Sprintf("no semaphore has %d permits: it was overwritten, or does not lie here", value),
			"compare the offset with the program's; if it is right, " + p.restart()}
	case len(it.Waiters) > 0 && value > 0:
		it.Advice = Advice{Act, fmt.Sprintf("%d permits are free%s: a wake was lost, and they do not look", value, waitersText(it.Waiters)),
			"it ends with the next Release; if they are C programs, that is how they lose wakes when one is killed"}
	case len(it.Waiters) > 0:
		it.Advice = Advice{Note, "no permit is left" + waitersText(it.Waiters), "permits that a killed process had are gone: whoever starts it again must Release them"}
	}
}

// cond tells its counts; nothing in it can be wrong.
func (p *pass) cond(it *Item, b []byte) {
	ne := binary.NativeEndian
	it.State = "idle"
	it.Text = fmt.Sprintf("%d signals, %d of them broadcasts", ne.Uint32(b), ne.Uint32(b[offCasts:]))
	if n := ne.Uint32(b[offWaiters:]); n > 0 {
		it.Text += fmt.Sprintf(", %d counted as waiting (killed ones stay counted: harmless)", n)
	}
	if len(it.Waiters) > 0 {
		it.State = "waited for"
		it.Advice = Advice{Note, "they wait for a signal" + waitersText(it.Waiters), ""}
	}
}

// seqlock judges by the sequence and by the writers' mutex: only both together tell a
// write that goes on from one that was cut off.
func (p *pass) seqlock(it *Item, b []byte) {
	seq := binary.NativeEndian.Uint64(b)
	l := readLock(b[offLock:])
	under := &Item{Path: it.Path, Kind: Mutex, Waiters: it.Waiters}
	p.mutex(under, l)
	it.Holder, it.Dead = under.Holder, under.Dead
	it.Text = fmt.Sprintf("version %d", seq/2)
	writing := seq&1 != 0
	whole := it.Kind == DoubleBuffer
	switch left := under.State == "orphan" || under.State == "unmarked" || under.State == "free"; {
	case under.State == "impossible" || under.State == "not shared" || under.State == "condemned" || under.State == "foreign":
		it.State, it.Advice = under.State, under.Advice
	case writing && left && whole:
		it.State = "abandoned"
		it.Advice = Advice{Note, fmt.Sprintf("writer %s died in its write; readers have version %d whole", deadName(it.Dead), seq/2), "the next Store goes on"}
	case writing && left:
		it.State = "torn"
		it.Advice = Advice{Act, fmt.Sprintf("TORN: writer %s died in its write; Load returns ErrWriterDead", deadName(it.Dead)),
			"the next Store repairs it: have its writer write it whole (Update does not)"}
	case left && under.State != "free":
		it.State = "whole"
		it.Advice = Advice{Note, fmt.Sprintf("writer %s died between two writes; the value is whole", deadName(it.Dead)), "the next Store goes on"}
	case left:
		it.State = "whole"
		it.Advice = under.Advice
	case writing:
		it.State, it.Advice = "being written", under.Advice
		it.Verdict = strings.Replace(it.Verdict, "held by", "being written by", 1)
		it.Verdict = strings.Replace(it.Verdict, "holder", "writer", 1)
	default:
		it.State, it.Advice = "whole", under.Advice
		it.Verdict = strings.Replace(it.Verdict, "held by", "about to be written by", 1)
		it.Verdict = strings.Replace(it.Verdict, "holder", "writer", 1)
	}
}

func deadName(pid int) string {
	if pid == 0 {
		return "(its name is not known)"
	}
	return fmt.Sprint(pid)
}

// adviseHeader: a header that keeps everybody out.
func adviseHeader(h *layout.Header, err error, s *Source) *Advice {
	remove := s.Remove
	if remove == "" {
		remove = "remove it"
	}
	switch {
	case errors.Is(err, layout.ErrVersion):
		return &Advice{Act, err.Error(), "inspect it with the stress of the same release as its programs; or rebuild those, and " + remove + " when nobody uses it"}
	case errors.Is(err, layout.ErrNotReady):
		who := meet(int(h.Maker))
		if who.State == gone {
			return &Advice{Act, fmt.Sprintf("its maker %d died before it was ready; it should never have had a name", h.Maker), remove}
		}
		return &Advice{Note, "it is being made by " + who.String(), ""}
	}
	return &Advice{Act, err.Error() + ": it was cut short; whoever touches the missing part gets SIGBUS, or a panic", "end its users, then " + remove}
}

// adviseObject judges the object as a whole.
func (l *look) adviseObject(sub *Subject, o *Object) (list []Advice) {
	if sub.broken != nil {
		list = append(list, *sub.broken)
	}
	if h := sub.Header; h != nil && sub.broken == nil {
		list = append(list, l.adviseMaker(h, sub.Source)...)
	}
	list = append(list, l.adviseNamespaces(sub, o)...)
	for _, u := range o.Users {
		if u.halted() && !holdsAny(o, u.PID) {
			what, next := u.release()
			list = append(list, Advice{Note, u.String() + " uses it, holds nothing in it and " + what, next})
		}
	}
	return list
}

func holdsAny(o *Object, pid int) bool {
	for _, it := range o.Items {
		if it.Holder != nil && it.Holder.PID == pid {
			return true
		}
	}
	return false
}

func (l *look) adviseMaker(h *layout.Header, s *Source) (list []Advice) {
	remove := "end its users, then " + s.Remove
	if !h.Ours() {
		list = append(list, Advice{Act, "made by a program for " + h.Arch + ": what is said of it here may be wrong", "inspect it with a stress built for " + h.Arch})
	}
	if boot := bootID(); boot != "" && h.BootID != [16]byte{} && boot != fmt.Sprintf("%x", h.BootID) {
		list = append(list, Advice{Act, "made before the machine was restarted: its lock words name processes of then, and Share refuses it", remove})
	}
	return list
}

func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSpace(string(b)), "-", "")
}

// adviseNamespaces: a mutex is refused where its users count in several PID namespaces.
func (l *look) adviseNamespaces(sub *Subject, o *Object) []Advice {
	spaces := map[uint64][]string{}
	for _, u := range o.Users {
		if ns, err := l.spaces.of(u.PID); err == nil {
			spaces[ns] = append(spaces[ns], u.String())
		}
	}
	if len(spaces) < 2 || !hasLocks(sub.Places) {
		return nil
	}
	var parts []string
	for _, ns := range slices.Sorted(maps.Keys(spaces)) {
		parts = append(parts, fmt.Sprintf("%s in %d", strings.Join(spaces[ns], ", "), ns))
	}
	return []Advice{{Act, "its users count in several PID namespaces: " + strings.Join(parts, "; ") + "; a mutex that one of them held is refused to the others (ErrPIDNamespace)",
		"run all of them in one: docker --pid=container:NAME, shareProcessNamespace: true"}}
}

func hasLocks(places []Place) bool {
	for _, p := range places {
		if p.Kind == Mutex || p.Kind == Seqlock || p.Kind == DoubleBuffer {
			return true
		}
	}
	return false
}
