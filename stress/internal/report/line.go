package report

import (
	"fmt"
	"strings"
	"time"
)

// Line is the verdict line of a scenario:
//
//	PASS mutex 4p×8g 1.6s 31.2M ops kills 212 recovered 98 worst 8.4ms lost 0 seed 0x5eed
func Line(r *Result) string {
	var b strings.Builder
	word := "FAIL"
	switch r.Code {
	case Pass:
		word = "PASS"
	case Interrupted:
		word = "PART" // a partial report: neither passed nor failed
	}
	fmt.Fprintf(&b, "%s %-11s %dp×%dg %.1fs %s ops", word, r.Name, r.Procs, r.Goroutines, r.Elapsed.Seconds(), Count(r.Ops))
	if r.Kills > 0 {
		fmt.Fprintf(&b, " kills %d", r.Kills)
	}
	if r.Stops > 0 {
		fmt.Fprintf(&b, " stops %d", r.Stops)
	}
	if r.Delays > 0 {
		fmt.Fprintf(&b, " delays %d", r.Delays)
	}
	if r.Recovered > 0 || r.HeldKills > 0 {
		fmt.Fprintf(&b, " recovered %d worst %s", r.Recovered, Short(r.Worst))
	}
	for _, n := range r.Notes {
		b.WriteByte(' ')
		b.WriteString(n)
	}
	fmt.Fprintf(&b, " seed %#x", r.Seed)
	if r.Code != Pass {
		fmt.Fprintf(&b, " (%s)", r.Code)
	}
	return b.String()
}

// Count writes a number as people read it: 31.2M.
func Count(n uint64) string {
	switch {
	case n >= 10_000_000_000:
		return fmt.Sprintf("%.1fG", float64(n)/1e9)
	case n >= 1_000_000:
		return fmt.Sprintf("%.1fM", float64(n)/1e6)
	case n >= 10_000:
		return fmt.Sprintf("%.1fk", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}

// Short writes a duration with three significant digits.
func Short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d >= 100*time.Millisecond:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.1fms", float64(d)/1e6)
	case d >= time.Microsecond:
		return fmt.Sprintf("%dµs", d.Microseconds())
	}
	return fmt.Sprintf("%dns", d.Nanoseconds())
}
