package inspect

import (
	"fmt"
	"slices"
	"strings"
)

// A holding is a process that has a mutex; a waiting is a thread of one that sleeps
// for a mutex.
type holding struct {
	pid    int
	object *Object
	item   *Item
}

type waiting struct {
	pid, tid int
	object   *Object
	item     *Item
}

// A Step of a cycle: this process has one mutex and waits for the next.
type Step struct {
	Process *Person `json:"process"`
	Has     string  `json:"has"`
	Wants   string  `json:"wants"`
}

// A Cycle is processes that wait for one another: a deadlock, unless another goroutine
// of one of them lets go of what it has.
type Cycle struct {
	Steps []Step `json:"steps"`
	Advice
}

// key is the same for the same cycle, wherever it was entered.
func (c *Cycle) key() string {
	var parts []string
	for _, s := range c.Steps {
		parts = append(parts, fmt.Sprint(s.Process.PID, s.Has, s.Wants))
	}
	slices.Sort(parts)
	return strings.Join(parts, ";")
}

// cycles follows each waiting process to the holder of what it waits for. A process
// that waits for itself is none: there another thread has it, and may let go.
func (l *look) cycles() (found []*Cycle) {
	wants := map[int][]waiting{}
	for _, w := range l.waits {
		if w.item.Holder != nil && w.item.Holder.PID != w.pid {
			wants[w.pid] = append(wants[w.pid], w)
		}
	}
	done := map[int]bool{}
	for _, w := range l.waits {
		if done[w.pid] {
			continue
		}
		if path := l.follow(w.pid, wants, nil, done); path != nil {
			found = append(found, l.cycle(path))
		}
	}
	return found
}

// follow walks until it comes to a process that it has passed; nil if it never does.
func (l *look) follow(pid int, wants map[int][]waiting, path []waiting, done map[int]bool) []waiting {
	if i := slices.IndexFunc(path, func(w waiting) bool { return w.pid == pid }); i >= 0 {
		return path[i:]
	}
	if done[pid] {
		return nil
	}
	for _, w := range wants[pid] {
		if c := l.follow(w.item.Holder.PID, wants, append(path, w), done); c != nil {
			done[pid] = true
			return c
		}
	}
	done[pid] = true
	return nil
}

// blame finds, for what is held long, the holders that wait themselves: the cause lies
// where they wait, and one finding there says more than a hundred behind it.
func (l *look) blame() {
	wants := map[int]waiting{}
	for _, w := range l.waits {
		if w.item.Holder.PID != w.pid {
			wants[w.pid] = w
		}
	}
	for _, h := range l.holds {
		w, waits := wants[h.pid]
		if !waits || !h.item.long {
			continue
		}
		h.item.Level = Note
		h.item.Verdict += ", and waits itself for " + name(w)
		h.item.Next = "look at that one first"
	}
}

func (l *look) cycle(path []waiting) *Cycle {
	c := &Cycle{}
	var pids []string
	for i, w := range path {
		before := path[(i+len(path)-1)%len(path)] // who waits for this one waits for what it has
		c.Steps = append(c.Steps, Step{l.person(w.pid), name(before), name(w)})
		pids = append(pids, fmt.Sprint(w.pid))
	}
	c.Advice = Advice{Act, fmt.Sprintf("DEADLOCK of %d processes, unless another goroutine of one of them lets go", len(path)),
		fmt.Sprintf("kill -9 one of %s: its mutex becomes an orphan, which the one that waits for it repairs or refuses; then give all places that take both one order",
			strings.Join(pids, ", "))}
	return c
}

// name is a mutex's name in a report of several objects.
func name(w waiting) string { return w.object.Name + ":" + w.item.Path }
