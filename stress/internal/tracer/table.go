package tracer

import (
	"fmt"
	"strings"
	"time"
)

const columns = "%-54s %9s %5s %6s %7s %5s %6s %8s %6s"

// Head is the heading of the table.
func Head() string {
	return fmt.Sprintf(columns, "operation: crowd", "addresses", "calls", "kills", "holding", "slow", "missed", "slowest", "failed")
}

// Text is a line of it, and the failures.
func (r *Row) Text() string {
	line := fmt.Sprintf(columns, r.Name(), fmt.Sprintf("%d/%d", r.Covered, r.Seen), fmt.Sprint(r.Calls), fmt.Sprint(r.Kills), fmt.Sprint(r.Held),
		fmt.Sprint(r.Slow), fmt.Sprint(r.Unreached), short(r.Slowest), fmt.Sprint(len(r.Failures)))
	if r.Skipped != "" {
		line = fmt.Sprintf("%-54s not here: %s", r.Name(), r.Skipped)
	}
	if r.Left > 0 {
		line += fmt.Sprintf("\n  a C program slept on beside a free mutex %d times: the victim had taken its wake along (P-M1, P-M2, P-M3)", r.Left)
	}
	for _, n := range r.Notes {
		line += "\n  " + n
	}
	for _, f := range r.Failures {
		line += "\n  " + strings.ReplaceAll(f, "\n", "\n    ")
	}
	return line
}

func short(d time.Duration) string {
	if d < time.Millisecond {
		return d.Round(time.Microsecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}

// Total adds up rows.
func Total(rows []*Row) (sum Row) {
	for _, r := range rows {
		sum.Seen += r.Seen
		sum.Covered += r.Covered
		sum.Calls += r.Calls
		sum.Kills += r.Kills
		sum.AtCalls += r.AtCalls
		sum.Held += r.Held
		sum.Slow += r.Slow
		sum.Unreached += r.Unreached
		sum.Slowest = max(sum.Slowest, r.Slowest)
		sum.Failures = append(sum.Failures, r.Failures...)
	}
	return sum
}

func progressText(c Case, done, all int) string {
	return fmt.Sprintf("%s: %d of %d", c.Name(), done, all)
}
