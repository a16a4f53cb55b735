package history

import (
	"strings"
	"testing"
)

// done is an operation that came to its end; cut one whose process was killed.
func done(lane int, kind uint32, in, out uint64, call, ret int64) Op {
	return Op{Lane: lane, PID: 100 + lane, Kind: kind, In: in, Out: out, Call: call, Done: ret}
}

func cut(lane int, kind uint32, in uint64, call int64) Op {
	return Op{Lane: lane, PID: 100 + lane, Kind: kind, In: in, Call: call, Killed: call + 1}
}

func TestLinear(t *testing.T) {
	for name, c := range map[string]struct {
		state uint64
		ops   []Op
		why   string // "": there is an order
	}{
		"nothing":                      {0, nil, ""},
		"counted one after the other":  {5, []Op{done(1, Add, 0, 5, 1, 2), done(2, Add, 0, 6, 3, 4)}, ""},
		"counted at once, either way":  {0, []Op{done(1, Add, 0, 1, 1, 9), done(2, Add, 0, 0, 2, 8)}, ""},
		"a lost update":                {0, []Op{done(1, Add, 0, 0, 1, 9), done(2, Add, 0, 0, 2, 8)}, "add found 0 of lane 1"},
		"in the wrong order":           {0, []Op{done(1, Add, 0, 1, 1, 2), done(2, Add, 0, 0, 3, 4)}, "not even add found 1 of lane 1"},
		"killed, and it counted":       {0, []Op{cut(1, Add, 0, 1), done(2, Add, 0, 1, 5, 6)}, ""},
		"killed, and it did not count": {0, []Op{cut(1, Add, 0, 1), done(2, Add, 0, 0, 5, 6)}, ""},
		"killed, and it counted late":  {0, []Op{cut(1, Add, 0, 1), done(2, Add, 0, 0, 5, 6), done(2, Add, 0, 2, 7, 8)}, ""},
		"it counted before its call":   {0, []Op{done(2, Add, 0, 1, 5, 6), cut(1, Add, 0, 7)}, "not even add found 1"},
		"permits":                      {1, []Op{done(1, Acquire, 0, 1, 1, 2), done(2, TryAcquire, 0, 0, 3, 4), done(1, Release, 0, 0, 5, 6), done(2, TryAcquire, 0, 1, 7, 8)}, ""},
		"one permit for two":           {1, []Op{done(1, Acquire, 0, 1, 1, 2), done(2, Acquire, 0, 1, 3, 4)}, "cannot be acquire of lane 2"},
		"refused for nothing":          {1, []Op{done(1, TryAcquire, 0, 0, 1, 2)}, "try, refused"},
		"given up":                     {1, []Op{done(1, Acquire, 0, 0, 1, 2)}, ""},
		"a permit died":                {1, []Op{cut(1, Acquire, 0, 1), done(2, TryAcquire, 0, 0, 5, 6)}, ""},
		"stored, loaded":               {3, []Op{done(1, Load, 0, 3, 1, 2), done(1, Store, 4, 0, 3, 4), done(2, Load, 0, 4, 5, 6)}, ""},
		"a value went back":            {3, []Op{done(1, Store, 4, 0, 1, 9), done(2, Load, 0, 4, 2, 3), done(2, Load, 0, 3, 4, 5)}, "load found 3 of lane 2"},
		"what nobody stored":           {3, []Op{done(1, Load, 0, 9, 1, 2)}, "load found 9"},
		"torn until the next store":    {3, []Op{cut(1, Store, 4, 1), done(2, Load, 0, Torn, 2, 3), done(2, Store, 5, 0, 4, 5), done(2, Load, 0, 5, 6, 7)}, ""},
		"whole, though it was torn":    {Torn, []Op{done(1, Load, 0, 3, 1, 2)}, "load found 3"},
	} {
		v := Linear(c.state, c.ops, 0)
		if v.Fine != (c.why == "") || !v.Known || !strings.Contains(v.Why, c.why) {
			t.Errorf("%s: %v %q, want %q", name, v.Fine, v.Why, c.why)
		}
		if !v.Fine && !strings.Contains(string(v.Page), "<html") {
			t.Errorf("%s: no page", name)
		}
	}
}
