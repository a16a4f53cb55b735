package inspect

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"interlock/stress/internal/report"
)

// In a table so many of each kind of finding are shown; more than so many items of a
// group make it a table.
const (
	fewItems = 12
	fewSame  = 3
)

// Write prints a scene. With all, every item has its line.
func Write(out io.Writer, s *Scene, all bool) {
	for i, o := range s.Objects {
		if i > 0 {
			fmt.Fprintln(out)
		}
		writeObject(out, o, all)
	}
	for _, c := range s.Cycles {
		fmt.Fprintln(out)
		fmt.Fprintln(out, c.Verdict)
		for _, step := range c.Steps {
			fmt.Fprintf(out, "  %s has %s and waits for %s\n", step.Process, step.Has, step.Wants)
		}
		fmt.Fprintf(out, "-> %s\n", c.Next)
	}
	fmt.Fprintln(out, "\n"+Verdict(s))
}

func writeObject(out io.Writer, o *Object, all bool) {
	fmt.Fprintf(out, "%s: %s, %d bytes", o.Name, o.Kind, o.Size)
	if o.Type != "" {
		typ, _, _ := strings.Cut(o.Type, " ")
		fmt.Fprintf(out, ", %s, fingerprint %s, made by %d", typ, o.Fingerprint, o.Maker)
	}
	fmt.Fprintln(out)
	writeUsers(out, o)
	for _, n := range o.Notes {
		fmt.Fprintf(out, "  note: %s\n", n)
	}
	for _, a := range o.Advice {
		writeAdvice(out, "  ", a)
	}
	for _, g := range o.Groups {
		writeGroup(out, o, g, all)
	}
}

func writeUsers(out io.Writer, o *Object) {
	const show = 10
	var names []string
	for _, u := range o.Users {
		text := u.String()
		if u.State != asleep && u.State != running {
			text += " (" + u.State + ")"
		}
		names = append(names, text)
	}
	text := strings.Join(names[:min(len(names), show)], ", ")
	if more := len(names) - show; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if text == "" {
		text = "nobody"
	}
	fmt.Fprintf(out, "  mapped by %s\n", text)
	if o.Unasked > 0 {
		fmt.Fprintf(out, "  note: %s may not be asked what they map: that needs their user, or root with CAP_SYS_PTRACE\n", many(o.Unasked, "process"))
	}
	if o.Unwatched > 0 {
		fmt.Fprintf(out, "  note: %s may not be asked where they sleep, so waiters may be missing: that needs root with CAP_SYS_PTRACE, or their user where kernel.yama.ptrace_scope is 0\n", many(o.Unwatched, "thread"))
	}
}

// writeGroup prints the items of a group, one line each if they are few.
func writeGroup(out io.Writer, o *Object, g *Group, all bool) {
	var items []*Item
	for _, it := range o.Items {
		if it.group == g.Path && it.Kind == g.Kind {
			items = append(items, it)
		}
	}
	if g.Count == 1 && len(items) == 0 { // as fresh memory has it
		fmt.Fprintf(out, "  %s: %s\n", head(g.Path, g.Kind), oneState(g))
		return
	}
	if g.Count > 1 {
		fmt.Fprintf(out, "  %s: %d, %s\n", head(g.Path, g.Kind), g.Count, states(g))
	}
	if !all && len(items) > fewItems {
		items = chosen(items)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, it := range items {
		writeItem(t, it, g.Count > 1)
	}
	t.Flush()
	if hidden := g.Count - len(items); hidden > 0 && len(items) > 0 && g.Count > 1 {
		fmt.Fprintf(out, "    (%d more; -all shows them)\n", hidden)
	}
}

// chosen are the first few of each state and level, the gravest first.
func chosen(items []*Item) (list []*Item) {
	shown := map[string]int{}
	for level := Act; level >= Fine; level-- {
		for _, it := range items {
			if it.Level != level {
				continue
			}
			if shown[it.State]++; shown[it.State] <= fewSame {
				list = append(list, it)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b *Item) int { return int(b.Level - a.Level) })
	return list
}

func head(path string, k Kind) string {
	if strings.HasPrefix(path, string(k)) {
		return path
	}
	return path + " " + string(k)
}

func oneState(g *Group) string {
	for s := range g.States {
		return s
	}
	return ""
}

// states counts, the commonest first.
func states(g *Group) string {
	var names []string
	for s := range g.States {
		names = append(names, s)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := g.States[b] - g.States[a]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for i, s := range names {
		names[i] = fmt.Sprintf("%d %s", g.States[s], s)
	}
	return strings.Join(names, ", ")
}

func writeItem(out io.Writer, it *Item, inTable bool) {
	indent := "  "
	if inTable {
		indent = "    "
	}
	if it.Kind == Value {
		fmt.Fprintf(out, "%s%s = %s\n", indent, it.Path, it.Text)
		return
	}
	what := it.State
	if it.Text != "" {
		what += ", " + it.Text
	}
	if it.Same != nil && it.Holder != nil && *it.Same > time.Second {
		what += ", unchanged for " + span(*it.Same)
	}
	fmt.Fprintf(out, "%s%s @%#x: %s\n", indent, head(it.Path, it.Kind), it.Offset, what)
	writeAdvice(out, indent+"  ", it.Advice)
}

func writeAdvice(out io.Writer, indent string, a Advice) {
	if a.Verdict == "" {
		return
	}
	fmt.Fprintf(out, "%s%s\n", indent, a.Verdict)
	if a.Next != "" {
		fmt.Fprintf(out, "%s-> %s\n", indent, a.Next)
	}
}

// Verdict is the last line: one for everything.
func Verdict(s *Scene) string {
	act, primitives, held, waiters := 0, 0, 0, 0
	s.each(func(a *Advice) {
		if a.Level == Act {
			act++
		}
	})
	for _, o := range s.Objects {
		for _, g := range o.Groups {
			if g.Kind != Value {
				primitives += g.Count
			}
		}
		for _, it := range o.Items {
			waiters += len(it.Waiters)
			if it.Holder != nil {
				held++
			}
		}
	}
	text := fmt.Sprintf("%s, %d held, %s asleep on them", many(primitives, "primitive"), held, many(waiters, "thread"))
	switch act {
	case 0:
		return "OK: " + text + "; nothing to do"
	case 1:
		return "ACT: " + text + "; 1 finding, with its -> above"
	}
	return fmt.Sprintf("ACT: %s; %d findings, each with its -> above", text, act)
}

// many counts things.
func many(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case strings.HasSuffix(thing, "s"):
		return fmt.Sprintf("%d %ses", n, thing)
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Code is the exit code that a scene deserves.
func Code(s *Scene) report.Code {
	if s.Level() == Act {
		return report.Broke
	}
	return report.Pass
}
