// Package trace writes what lanes have written down of their operations as trace events,
// which ui.perfetto.dev and chrome://tracing show: a row for each process and goroutine,
// with what it waited for and held; who was killed, and when somebody came to repair; and
// an arrow from each unlock to the next one to have the lock.
package trace

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/history"
)

// An Event is one trace event; the format names the fields.
type Event struct {
	Name  string         `json:"name"`
	Cat   string         `json:"cat,omitempty"`
	Phase string         `json:"ph"`
	At    Micros         `json:"ts"`
	For   Micros         `json:"dur,omitempty"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	ID    int            `json:"id,omitempty"`
	Bind  string         `json:"bp,omitempty"`
	Scope string         `json:"s,omitempty"`
	Args  map[string]any `json:"args,omitempty"`
}

// Micros is a time in nanoseconds that is written in microseconds, exactly.
type Micros int64

// MarshalJSON writes 1234 as 1.234.
func (m Micros) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%d.%03d", m/1000, m%1000), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *Micros) UnmarshalJSON(text []byte) error {
	var v float64
	err := json.Unmarshal(text, &v)
	*m = Micros(v*1000 + 0.5)
	return err
}

// Part says what there is of one scenario.
type Part struct {
	Scenario string `json:"scenario"`
	Seed     string `json:"seed"`
	Kept     int    `json:"operations"`
	Dropped  uint64 `json:"dropped_operations"` // older ones: each goroutine keeps so many
	GivenUp  int    `json:"given_up"`           // waits that came to nothing; they are not drawn
	Whole    Micros `json:"whole_from_us"`      // from here on nothing is missing
	Graves   int    `json:"dropped_kills"`
}

// File is a trace of one run of stress, one scenario behind the other.
type File struct {
	Events []Event `json:"traceEvents"`
	Unit   string  `json:"displayTimeUnit"`
	Other  struct {
		Parts []Part `json:"scenarios"`
	} `json:"otherData"`

	begin int64 // of the first scenario: the trace's time 0
	rows  int
	flows int
}

// firstRow is above every pid: a row's number must be no process's.
const firstRow = 10_000_000

// Run is one scenario's.
type Run struct {
	Name      string
	Seed      uint64
	Begin     int64 // by arena.Now
	Exclusive bool
	Arena     *arena.Arena
	Log       history.Log
}

// Add adds a scenario.
func (f *File) Add(r Run) {
	if f.begin == 0 {
		f.begin = r.Begin
	}
	p := Part{Scenario: r.Name, Seed: fmt.Sprintf("%#x", r.Seed), Kept: len(r.Log.Ops), Dropped: r.Log.Dropped, Whole: f.at(r.wholeFrom())}
	b := builder{File: f, run: r, part: &p, rows: map[[2]int]int{}}
	for _, op := range r.Log.Ops {
		b.operation(op)
	}
	b.deaths()
	if r.Exclusive {
		b.arrows()
	}
	f.Other.Parts = append(f.Other.Parts, p)
}

// at is a time in the trace.
func (f *File) at(now int64) Micros { return Micros(max(0, now-f.begin)) }

// wholeFrom is when the first operation was called before which some lane's are missing.
func (r Run) wholeFrom() int64 {
	if r.Log.Dropped == 0 {
		return r.Begin
	}
	first := map[int]int64{}
	for _, op := range r.Log.Ops {
		if _, seen := first[op.Lane]; !seen {
			first[op.Lane] = op.Call
		}
	}
	whole := r.Begin
	for _, at := range first {
		whole = max(whole, at)
	}
	return whole
}

// builder adds one scenario's events.
type builder struct {
	*File
	run  Run
	part *Part
	rows map[[2]int]int // of a process and a lane
}

// row is the row of a lane in a process; it is named when it is first seen.
func (b *builder) row(pid, lane int) int {
	key := [2]int{pid, lane}
	if b.rows[key] == 0 {
		b.File.rows++
		b.rows[key] = firstRow + b.File.rows
		lanes := int(b.run.Arena.Lanes.Load())
		b.name("process_name", pid, b.rows[key], fmt.Sprintf("%s worker %d", b.run.Name, lane/lanes))
		b.name("thread_name", pid, b.rows[key], fmt.Sprintf("goroutine %d", lane%lanes))
	}
	return b.rows[key]
}

func (b *builder) name(what string, pid, row int, name string) {
	b.Events = append(b.Events, Event{Name: what, Phase: "M", PID: pid, TID: row, Args: map[string]any{"name": name}})
}

// operation draws the wait and the hold of an operation.
func (b *builder) operation(op history.Op) {
	ended := func(at int64) int64 { // or was killed before that
		if at == 0 && op.Last {
			return op.Killed
		}
		return at
	}
	switch {
	case op.Got == 0 && op.Done != 0: // what is stored is not waited for
		b.span("hold", op, op.Call, op.Done)
	case op.Got == 0 && ended(0) == 0:
		b.part.GivenUp++
	case op.Got == 0:
		b.span("wait", op, op.Call, ended(0))
	default:
		b.span("wait", op, op.Call, op.Got)
		if to := max(op.Give, ended(op.Done)); to != 0 {
			b.span("hold", op, op.Got, to)
		}
	}
}

func (b *builder) span(name string, op history.Op, from, to int64) {
	to = max(from, to)
	e := Event{Name: name, Cat: b.run.Name, Phase: "X", At: b.at(from), For: Micros(to - from), PID: op.PID, TID: b.row(op.PID, op.Lane)}
	if op.Last && op.Killed != 0 && op.Done == 0 && to >= op.Killed {
		e.Args = map[string]any{"killed": true}
	}
	b.Events = append(b.Events, e)
}

// deaths marks who was killed, and when somebody came to repair.
func (b *builder) deaths() {
	kills := int(b.run.Arena.Kills.Load())
	b.part.Graves = max(0, kills-arena.GraveCount)
	rows := map[int]int{} // of a process: any one of its rows
	for key, row := range b.rows {
		if rows[key[0]] == 0 || row < rows[key[0]] {
			rows[key[0]] = row
		}
	}
	for i := range min(kills, arena.GraveCount) {
		g := b.run.Arena.Grave(i)
		pid, at, repaired := int(g.PID.Load()), g.At.Load(), g.Repaired.Load()
		mark := func(name string, at int64, args map[string]any) {
			b.Events = append(b.Events, Event{Name: name, Cat: b.run.Name, Phase: "i", Scope: "p", At: b.at(at), PID: pid, TID: rows[pid], Args: args})
		}
		mark("kill", at, map[string]any{"inside": g.Held.Load() != 0})
		if repaired != 0 {
			mark("recovery", repaired, map[string]any{"after": time.Duration(repaired - at).String()})
		}
	}
}

// arrows go from who gives the lock away to who has it next, where both are known.
func (b *builder) arrows() {
	stays := history.Stays(b.run.Log.Ops)
	whole := b.run.wholeFrom()
	for i := 1; i < len(stays); i++ {
		from, to := stays[i-1], stays[i]
		if from.Give == 0 || from.Got < whole {
			continue
		}
		b.flows++
		b.Events = append(b.Events,
			Event{Name: "handed on", Cat: b.run.Name, Phase: "s", ID: b.flows, At: b.at(from.Give), PID: from.PID, TID: b.row(from.PID, from.Lane)},
			Event{Name: "handed on", Cat: b.run.Name, Phase: "f", Bind: "e", ID: b.flows, At: b.at(to.Got), PID: to.PID, TID: b.row(to.PID, to.Lane)})
	}
}

// Write writes the trace.
func (f *File) Write(w io.Writer) error {
	f.Unit = "ns"
	return json.NewEncoder(w).Encode(f)
}
