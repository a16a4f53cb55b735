package history

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// What operations of a sequential object do. Its state is a number.
const (
	Add        uint32 = 1 + iota // adds one; Out: what was there before
	Acquire                      // takes one away; Out: 1, or 0 if it was given up
	TryAcquire                   // likewise; 0: there was none
	Release                      // adds one
	Store                        // In is the new state
	Load                         // Out: the state, or Torn
)

// Torn is the state of a value whose writer died over it, until the next Store. A Load
// that says so tells nothing else.
const Torn = math.MaxUint64

var kindNames = [...]string{Add: "add", Acquire: "acquire", TryAcquire: "try", Release: "release", Store: "store", Load: "load"}

// input and output are what the checker sees of an operation.
type input struct {
	kind uint32
	in   uint64
}

type output struct {
	out     uint64
	pending bool // its process was killed: it may have taken effect, or not
}

// step returns the states in which an operation can leave the object; none: it cannot
// have been so.
func step(state uint64, in input, out output) []uint64 {
	after, legal := state, true
	switch in.kind {
	case Add:
		after, legal = state+1, out.pending || out.out == state
	case Acquire, TryAcquire:
		switch {
		case out.pending && state == 0:
		case out.pending || out.out == 1:
			after, legal = state-1, state > 0
		case in.kind == TryAcquire:
			legal = state == 0
		}
	case Release:
		after = state + 1
	case Store:
		after = in.in
	case Load:
		legal = out.pending || out.out == Torn || out.out == state
	}
	switch {
	case !legal:
		return nil
	case out.pending && after != state:
		return []uint64{state, after}
	}
	return []uint64{after}
}

func model(state uint64) porcupine.Model {
	m := porcupine.NondeterministicModel{
		Init: func() []any { return []any{state} },
		Step: func(state, in, out any) (after []any) {
			for _, s := range step(state.(uint64), in.(input), out.(output)) {
				after = append(after, s)
			}
			return after
		},
		Equal:             func(x, y any) bool { return x == y },
		DescribeOperation: func(in, out any) string { return describe(in.(input), out.(output)) },
		DescribeState:     func(s any) string { return value(s.(uint64)) },
	}
	return m.ToModel()
}

func value(v uint64) string {
	if v == Torn {
		return "torn"
	}
	return fmt.Sprint(v)
}

func describe(in input, out output) string {
	text := kindNames[in.kind]
	if in.kind == Store {
		text += " " + value(in.in)
	}
	switch {
	case out.pending:
		text += ", killed"
	case in.kind == Add || in.kind == Load:
		text += " found " + value(out.out)
	case (in.kind == Acquire || in.kind == TryAcquire) && out.out == 0:
		text += ", refused"
	}
	return text
}

// Verdict is what is known of a history.
type Verdict struct {
	Fine  bool
	Known bool   // false: there are too many orders to try them all in time
	Why   string // which operations do not go together
	Page  []byte // the history to be looked at: HTML
}

// patience is how long a history is looked at.
const patience = 2 * time.Second

// Linear asks whether there is an order of the operations, each between its call and its
// return, in which an object that was in a state does what they say; begin is time 0 of
// the answer.
func Linear(state uint64, ops []Op, begin int64) (v Verdict) {
	var history []porcupine.Operation
	clients := map[[2]int]int{}
	for _, op := range ops {
		who := [2]int{op.PID, op.Lane}
		if _, known := clients[who]; !known {
			clients[who] = len(clients)
		}
		o := porcupine.Operation{ClientId: clients[who], Input: input{op.Kind, op.In}, Call: op.Call - begin, Metadata: op}
		o.Output, o.Return = output{op.Out, op.Done == 0}, op.Done-begin
		if op.Done == 0 {
			o.Return = math.MaxInt64
		}
		history = append(history, o)
	}
	m := model(state)
	result, info := porcupine.CheckOperationsVerbose(m, history, patience)
	switch result {
	case porcupine.Ok:
		return Verdict{Fine: true, Known: true}
	case porcupine.Unknown:
		return Verdict{Fine: true}
	}
	var page bytes.Buffer
	_ = porcupine.Visualize(m, info, &page) // without it there is still the text
	return Verdict{Known: true, Why: blame(history, info, begin), Page: page.Bytes()}
}

// blame names two operations: the last one of the longest order that is possible, and the
// first to have returned that has no place in it.
func blame(history []porcupine.Operation, info porcupine.LinearizationInfo, begin int64) string {
	var longest []int
	for _, part := range info.PartialLinearizations() {
		for _, order := range part {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	var left []int
	for i := range history {
		if !slices.Contains(longest, i) {
			left = append(left, i)
		}
	}
	slices.SortFunc(left, func(x, y int) int { return cmp.Compare(history[x].Return, history[y].Return) })
	name := func(i int) string {
		op, o := history[i].Metadata.(Op), history[i]
		end := "never returned"
		if op.Done != 0 {
			end = since(begin, op.Done)
		}
		return fmt.Sprintf("%s of %s, %s to %s", describe(o.Input.(input), o.Output.(output)), op.name(), since(begin, op.Call), end)
	}
	switch {
	case len(left) == 0:
		return "no order of the operations is possible"
	case len(longest) == 0:
		return "nothing can come first; not even " + name(left[0])
	}
	return fmt.Sprintf("after %s, there cannot be %s", name(longest[len(longest)-1]), name(left[0]))
}
