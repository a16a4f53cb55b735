package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
)

// Formats write a result, by the name of the form.
var Formats = map[string]func(w io.Writer, res *Result) error{
	"text":     writeText,
	"markdown": writeMarkdown,
	"json":     writeJSON,
	"go":       writeGo,
}

func writeText(w io.Writer, res *Result) error {
	fmt.Fprintf(w, "%s\n\n%s\n", res.Host, Head())
	for _, r := range res.Rows {
		fmt.Fprintln(w, r.Text())
	}
	_, err := fmt.Fprintf(w, "\n%s\n", res.Summary())
	return err
}

func writeMarkdown(w io.Writer, res *Result) error {
	fmt.Fprintf(w, "%s\n\n", res.Host)
	var heads, rules []string
	for _, c := range columns {
		heads = append(heads, c.head)
		rules = append(rules, map[bool]string{false: "---", true: "--:"}[c.right])
	}
	fmt.Fprintf(w, "| %s |\n| %s |\n", strings.Join(heads, " | "), strings.Join(rules, " | "))
	for _, r := range res.Rows {
		cells := r.cells()
		if len(r.Notes) > 0 {
			cells[1] += " (" + strings.Join(r.Notes, "; ") + ")"
		}
		fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
	}
	_, err := fmt.Fprintf(w, "\n%s\n", res.Summary())
	return err
}

// SchemaVersion changes when a field of the JSON changes its meaning or goes away.
const SchemaVersion = 1

func writeJSON(w io.Writer, res *Result) error {
	type row struct {
		*Row
		Our   float64  `json:"our_median"`
		Their *float64 `json:"peer_median,omitempty"`
		Ratio *float64 `json:"ratio,omitempty"`
		Met   *bool    `json:"met,omitempty"`
	}
	doc := struct {
		SchemaVersion int `json:"schema_version"`
		*Result
		Rows []row `json:"rows"`
	}{SchemaVersion, res, []row{}}
	for _, r := range res.Rows {
		x := row{Row: r}
		if len(r.Ours) > 0 {
			x.Our = r.Our()
		}
		if v := r.Their(); !math.IsNaN(v) {
			x.Their = &v
		}
		if v := r.Ratio(); !math.IsNaN(v) {
			x.Ratio = &v
		}
		if met, ok := r.Met(); ok {
			x.Met = &met
		}
		doc.Rows = append(doc.Rows, x)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(doc)
}

// writeGo writes what go test -bench would: one line for each turn, so that benchstat
// has something to compute with. Unit lines say which way is better.
func writeGo(w io.Writer, res *Result) error {
	fmt.Fprintf(w, "goos: %s\ngoarch: %s\npkg: interlock/stress\ncpu: %s\n", res.Host.OS, res.Host.Arch, res.Host.CPU)
	units := []Unit{Nanoseconds, PerSecond, Throughput, Size, Count, Index}
	for _, u := range units {
		better := map[bool]string{false: "lower", true: "higher"}[u.moreIsBetter()]
		fmt.Fprintf(w, "Unit %s better=%s\nUnit peer-%s better=%s\n", u.benchUnit(), better, u.benchUnit(), better)
	}
	fmt.Fprint(w, "Unit ratio better=lower\nUnit rate-ratio better=higher\n")
	for _, r := range res.Rows {
		for i, x := range r.Ours {
			fmt.Fprintf(w, "Benchmark%s 1 %.6g %s", r.benchName(), x, r.Unit.benchUnit())
			if i < len(r.Peer) {
				fmt.Fprintf(w, " %.6g peer-%s %.6g %s", r.Peer[i], r.Unit.benchUnit(), x/r.Peer[i], r.Unit.ratioUnit())
			}
			fmt.Fprintln(w)
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}

func (u Unit) benchUnit() string {
	if u == Nanoseconds {
		return "ns/op"
	}
	return string(u)
}

// ratioUnit names ours / the peer's: whether less is better depends on what of.
func (u Unit) ratioUnit() string {
	if u.moreIsBetter() {
		return "rate-ratio"
	}
	return "ratio"
}

// benchName is the row's name as benchstat can take it apart.
func (r *Row) benchName() string {
	words := strings.FieldsFunc(r.Name+" /against="+r.Against, func(c rune) bool { return c == ' ' || c == ',' })
	line := strings.ToUpper(r.Line[:1]) + r.Line[1:]
	return line + "/" + strings.ReplaceAll(strings.Join(words, "_"), "_/", "/")
}
