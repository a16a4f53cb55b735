package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Point is a place where workers can be killed: a mark of the library, or a trap of a
// scenario.
type Point struct {
	Name   string `json:"name"`
	Trap   bool   `json:"trap,omitempty"`
	Passed uint64 `json:"passed"`
	Kills  int    `json:"kills"`
}

// Coverage adds up what the scenarios have hit of the library's marks, whose names are
// given: also those that no scenario comes by. Traps are each scenario's own.
func Coverage(marks []string, results []*Result) []Point {
	var all []Point
	at := map[string]int{}
	add := func(p Point) {
		i, known := at[p.Name]
		if !known {
			i = len(all)
			at[p.Name] = i
			all = append(all, Point{Name: p.Name, Trap: p.Trap})
		}
		all[i].Passed += p.Passed
		all[i].Kills += p.Kills
	}
	for _, name := range marks {
		add(Point{Name: name})
	}
	for _, r := range results {
		for _, p := range r.Points {
			if p.Trap {
				p.Name = r.Name + ": " + p.Name
			}
			add(p)
		}
	}
	slices.SortStableFunc(all, func(a, b Point) int {
		return cmp.Compare(order(a), order(b))
	})
	return all
}

// order has the marks first.
func order(p Point) int {
	if p.Trap {
		return 1
	}
	return 0
}

// WriteCoverage writes the list, and returns the points at which nobody was killed.
func WriteCoverage(w io.Writer, points []Point) (missed []string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nPASSED\tKILLS\t POINT\n")
	for _, p := range points {
		fmt.Fprintf(t, "%s\t%d\t %s\n", Count(p.Passed), p.Kills, p.Name)
		if p.Kills == 0 {
			missed = append(missed, p.Name)
		}
	}
	t.Flush()
	fmt.Fprintf(w, "%d points, at %d of them somebody was killed\n", len(points), len(points)-len(missed))
	return missed
}
