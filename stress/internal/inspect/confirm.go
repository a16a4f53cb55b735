package inspect

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// patience is how long a finding has to stay: longer than a wake, a repair that is
// under way, or a look of a waiter that takes over from the dead.
const patience = 200 * time.Millisecond

// Inspect looks, and looks again if anything is wrong: what is so only for a moment,
// as a mutex between a death and its repair, is no finding.
func Inspect(ctx context.Context, subjects []*Subject, opts Options) (*Scene, error) {
	scene, err := Look(subjects, opts)
	const looks = 3
	for n := 1; err == nil && n < looks && scene.Level() == Act; n++ {
		before := NewWatch()
		before.See(scene)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(patience): // the finding is that nothing happens meanwhile
		}
		if scene, err = Look(subjects, opts); err == nil {
			before.See(scene)
		}
	}
	return scene, err
}

// Level is the gravest in a scene.
func (s *Scene) Level() Level {
	worst := Fine
	s.each(func(a *Advice) { worst = max(worst, a.Level) })
	return worst
}

func (s *Scene) each(f func(a *Advice)) {
	for _, o := range s.Objects {
		for _, it := range o.Items {
			f(&it.Advice)
		}
		for i := range o.Advice {
			f(&o.Advice[i])
		}
	}
	for _, c := range s.Cycles {
		f(&c.Advice)
	}
}

// A Watch remembers between looks what has not changed.
type Watch struct {
	since map[string]time.Time // by what was seen
	looks int
}

// NewWatch has seen nothing yet.
func NewWatch() *Watch { return &Watch{since: map[string]time.Time{}} }

// See notes a scene. What stands in it as it stood before gets the time since then;
// a finding that the last look did not have is not one yet.
func (w *Watch) See(s *Scene) {
	now := time.Now()
	next := map[string]time.Time{}
	seen := func(key string, a *Advice) time.Time {
		at, ok := w.since[key]
		if !ok {
			at = now
		}
		next[key] = at
		if !ok && w.looks > 0 && a.Level == Act {
			a.Level = Note
			a.Verdict += " (just now: it may pass)"
		}
		return at
	}
	for _, o := range s.Objects {
		for _, it := range o.Items {
			if it.Kind == Value {
				continue
			}
			same := now.Sub(seen(o.Name+"\x00"+it.Path+"\x00"+it.State+it.lockWord(), &it.Advice))
			if w.looks > 0 {
				it.Same = &same
			}
		}
		for i := range o.Advice {
			seen(o.Name+"\x00"+o.Advice[i].Verdict, &o.Advice[i])
		}
	}
	for _, c := range s.Cycles {
		seen(c.key(), &c.Advice)
	}
	w.since, w.looks = next, w.looks+1
}

// lockWord is the part of the bytes that changes whenever something happens, in
// hexadecimal: the first eight bytes, of a seqlock those of its mutex too.
func (it *Item) lockWord() string {
	n := 2 * 8
	if it.Kind == Seqlock || it.Kind == DoubleBuffer {
		n *= 2
	}
	return it.Words[:min(n, len(it.Words))]
}

// Essence is what of a scene people would want to be told of when it changes: states
// and findings, and neither times nor counts of sleepers.
func (s *Scene) Essence() string {
	var b strings.Builder
	for _, o := range s.Objects {
		fmt.Fprintln(&b, o.Name, len(o.Users))
		for _, it := range o.Items {
			fmt.Fprintln(&b, it.Path, it.State, it.Level, it.Holder != nil, len(it.Waiters) > 0, it.Text)
			if it.Holder != nil {
				fmt.Fprintln(&b, it.Holder.PID, it.Holder.State)
			}
		}
		for _, a := range o.Advice {
			fmt.Fprintln(&b, a.Level, a.Next)
		}
	}
	for _, c := range s.Cycles {
		fmt.Fprintln(&b, c.key(), c.Level)
	}
	return b.String()
}
