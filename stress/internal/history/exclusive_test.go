package history

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// stay is an operation that was inside; killed 0: it gave back what it had.
func stay(lane int, got, give, killed int64) Op {
	return Op{Lane: lane, PID: 100 + lane, Call: got, Got: got, Give: give, Killed: killed}
}

func TestExclusive(t *testing.T) {
	for name, c := range map[string]struct {
		ops []Op
		bad string // in the text; "": they exclude each other
	}{
		"one after the other":               {[]Op{stay(1, 10, 20, 0), stay(2, 20, 30, 0), stay(1, 35, 40, 0)}, ""},
		"two at once":                       {[]Op{stay(1, 10, 20, 0), stay(2, 19, 30, 0)}, "lane 1 (pid 101) from 0.000000s until 0.000000s, and lane 2 (pid 102)"},
		"one within another":                {[]Op{stay(1, 10, 90, 0), stay(2, 20, 30, 0), stay(3, 40, 50, 0)}, "lane 2"},
		"not in the order of their calls":   {[]Op{stay(2, 20, 30, 0), stay(1, 10, 20, 0)}, ""},
		"killed inside, and then the next":  {[]Op{stay(1, 10, 0, 50), stay(2, 51, 60, 0)}, ""},
		"the next came before the kill":     {[]Op{stay(1, 10, 0, 50), stay(2, 49, 60, 0)}, "until it was killed"},
		"killed when it had given it away":  {[]Op{stay(1, 10, 20, 50), stay(2, 30, 60, 0)}, ""},
		"it has not come in":                {[]Op{{Lane: 1, Call: 10}, stay(2, 20, 30, 0), {Lane: 3, Call: 25, Killed: 90}}, ""},
		"nobody knows when one left":        {[]Op{stay(1, 10, 0, 0), stay(2, 20, 30, 0)}, ""},
		"one came in where another remains": {[]Op{stay(1, 10, 30, 0), stay(2, 20, 0, 0)}, "and never gave it back"},
	} {
		bad, n := Exclusive(c.ops)
		switch {
		case c.bad == "" && bad != nil:
			t.Errorf("%s: %s", name, bad.String(0))
		case c.bad != "" && (bad == nil || !strings.Contains(bad.String(0), c.bad)):
			t.Errorf("%s: %v, want %q", name, bad, c.bad)
		case n > len(c.ops):
			t.Errorf("%s: %d looked at", name, n)
		}
	}
}

// What it finds is what comparing each with each finds.
func TestExclusiveAgainstAllPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 5000 {
		var ops []Op
		at := int64(1)
		for i := range 2 + r.IntN(8) {
			got := at + r.Int64N(4)
			give := got + r.Int64N(6)
			ops = append(ops, stay(i, got, give, 0))
			at = max(1, give-r.Int64N(2)*r.Int64N(4))
		}
		want := false
		for i, x := range ops {
			for _, y := range ops[i+1:] {
				// Neither was over when the other began; one that begins at the same time as
				// another, and ends at once, may have been before it.
				want = want || x.Got < y.Give && y.Got < x.Give
			}
		}
		bad, _ := Exclusive(ops)
		if (bad != nil) != want {
			t.Fatalf("%+v: %v, want %v", ops, bad, want)
		}
		if want {
			found++
		}
	}
	if found < 500 || found > 4500 {
		t.Errorf("%d of 5000 overlap: that tests little", found)
	}
}
