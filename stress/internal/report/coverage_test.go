package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// Marks are added up over the scenarios, those that nobody came by are in the list too,
// and traps are each scenario's own.
func TestCoverage(t *testing.T) {
	points := Coverage([]string{"A", "B", "C"}, []*Result{
		{Name: "x", Points: []Point{{Name: "B", Passed: 5, Kills: 1}, {Name: "inside", Trap: true, Passed: 7, Kills: 2}}},
		{Name: "y", Points: []Point{{Name: "inside", Trap: true, Passed: 3}, {Name: "A", Passed: 2}, {Name: "B", Passed: 1, Kills: 1}}},
	})
	want := []Point{{Name: "A", Passed: 2}, {Name: "B", Passed: 6, Kills: 2}, {Name: "C"},
		{Name: "x: inside", Trap: true, Passed: 7, Kills: 2}, {Name: "y: inside", Trap: true, Passed: 3}}
	if !slices.Equal(points, want) {
		t.Errorf("%v", points)
	}
	var out bytes.Buffer
	missed := WriteCoverage(&out, points)
	if !slices.Equal(missed, []string{"A", "C", "y: inside"}) || !strings.Contains(out.String(), "5 points, at 2 of them somebody was killed") {
		t.Errorf("missed %q\n%s", missed, &out)
	}
}
