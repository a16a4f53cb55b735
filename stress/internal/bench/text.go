package bench

import (
	"fmt"
	"math"
	"strings"
)

// columns are the table's: what it shows and how wide, for printing a row as soon
// as it is known.
var columns = []struct {
	head  string
	width int
	right bool
}{
	{"line", 10, false}, {"what", 25, false}, {"ours", 9, true}, {"against", 30, false},
	{"theirs", 9, true}, {"ratio", 17, true}, {"reach", 9, true}, {"met", 3, false},
}

// Head is the line above the table.
func Head() string {
	var heads []string
	for _, c := range columns {
		heads = append(heads, strings.ToUpper(c.head))
	}
	return align(heads)
}

// Text is a row of the table, and below it what there is to say about it.
func (r *Row) Text() string {
	var b strings.Builder
	b.WriteString(align(r.cells()))
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\n%*s %s", columns[0].width, "", n)
	}
	return b.String()
}

func (r *Row) cells() []string {
	if r.Skipped != "" {
		return []string{r.Line, r.Name, "–", r.Against, "–", "–", r.Reach.String(), "skipped: " + r.Skipped}
	}
	return []string{r.Line, r.Name, r.Unit.format(r.Our()), r.Against, r.Unit.format(r.Their()), r.ratio(), r.Reach.String(), r.verdict()}
}

func (r *Row) ratio() string {
	if len(r.Peer) == 0 {
		return "–"
	}
	text := fmt.Sprintf("%.2f×", r.Ratio())
	if r.Ratio() >= 10 {
		text = fmt.Sprintf("%.1f×", r.Ratio())
	}
	if r.Reach.Kind == Faster {
		text += " faster"
	}
	if s := r.Spread(); !math.IsNaN(s) {
		text += fmt.Sprintf(" ±%.0f%%", math.Ceil(100*s))
	}
	return text
}

func (r *Row) verdict() string {
	text := "–"
	if met, ok := r.Met(); ok && met {
		text = "yes"
	} else if ok {
		text = "NO"
	}
	if r.Busy {
		text += " ?"
	}
	return text
}

// String is the reach as the table shows it.
func (r Reach) String() string {
	if r.Limit == 0 {
		return "–"
	}
	switch r.Kind {
	case AtMost:
		return fmt.Sprintf("≤ %.2f×", r.Limit)
	case AtLeast:
		return fmt.Sprintf("≥ %.2f×", r.Limit)
	case Faster:
		return fmt.Sprintf("≥ %.0f×", r.Limit)
	case Below:
		return "< " + Nanoseconds.format(r.Limit)
	case Always:
		return fmt.Sprintf("≥ %.2f", r.Limit)
	}
	return "–"
}

func align(cells []string) string {
	var b strings.Builder
	for i, c := range columns {
		if c.right {
			fmt.Fprintf(&b, "%*s", c.width, cells[i])
		} else {
			fmt.Fprintf(&b, "%-*s", c.width, cells[i])
		}
		b.WriteByte(' ')
		if c.right {
			b.WriteByte(' ')
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// String is a line about the machine.
func (h Host) String() string {
	text := fmt.Sprintf("%s, %d CPUs", h.CPU, h.CPUs)
	if h.Virtual != "" {
		text += " (" + h.Virtual + ")"
	}
	return fmt.Sprintf("%s, %s %s %s, %s, %s", text, h.OS, h.Kernel, h.Arch, h.Go, h.Libc)
}

// Summary is what stands below the table.
func (res *Result) Summary() string {
	counts := map[string]int{}
	for _, r := range res.Rows {
		met, ok := r.Met()
		switch {
		case r.Skipped != "":
			counts["skipped"]++
		case !ok:
			counts["printed"]++
		case met:
			counts["met"]++
		default:
			counts["missed"]++
		}
	}
	text := fmt.Sprintf("%d rows: %d reach what they have to, %d do not, %d have nothing to reach, %d skipped; %.0f s",
		len(res.Rows), counts["met"], counts["missed"], counts["printed"], counts["skipped"], res.Elapsed.Seconds())
	if !res.Load.Calm() {
		text += "\nUNTRUSTWORTHY: " + res.Load.String() + "; rows marked ? were measured while they did"
	}
	if res.Problem != "" {
		text += "\nended early: " + res.Problem
	}
	return text
}
