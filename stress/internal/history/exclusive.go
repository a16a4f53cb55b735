package history

import (
	"cmp"
	"fmt"
	"slices"
)

// Overlap is two operations that were inside at the same time.
type Overlap struct{ First, Second Op }

// Stays are the operations that were inside, in the order in which they came there.
func Stays(ops []Op) (stays []Op) {
	for _, op := range ops {
		if op.Got != 0 {
			stays = append(stays, op)
		}
	}
	slices.SortStableFunc(stays, func(x, y Op) int {
		return cmp.Or(cmp.Compare(x.Got, y.Got), cmp.Compare(x.until(), y.until()))
	})
	return stays
}

// Exclusive looks for two operations that were inside at the same time; nil: there are
// none. n is how many it has looked at.
func Exclusive(ops []Op) (bad *Overlap, n int) {
	stays := Stays(ops)
	for i := 1; i < len(stays); i++ {
		// Up to here they follow each other, so the one before is the last to leave.
		if before := stays[i-1]; stays[i].Got < before.until() {
			return &Overlap{before, stays[i]}, len(stays)
		}
	}
	return nil, len(stays)
}

// until is how long nobody else can have been inside, for certain: until it gave away what
// it had, or was about to be killed.
func (op Op) until() int64 {
	if op.Give != 0 {
		return op.Give
	}
	return max(op.Got, op.Killed)
}

// String says who they are, with times from begin on.
func (o *Overlap) String(begin int64) string {
	end := func(op Op) string {
		switch {
		case op.Give != 0:
			return "until " + since(begin, op.Give)
		case op.Killed != 0:
			return "until it was killed at " + since(begin, op.Killed)
		}
		return "and never gave it back"
	}
	one, two := o.First, o.Second
	return fmt.Sprintf("two were inside at the same time: %s from %s %s, and %s from %s %s", one.name(), since(begin, one.Got), end(one),
		two.name(), since(begin, two.Got), end(two))
}
