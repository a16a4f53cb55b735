package lab

import (
	"embed"
	"reflect"
	"slices"
	"strings"
)

// A Program is what both processes do, over and over: one addition to the counter.
type Program struct {
	Name     string
	About    string
	function string // its name
	run      func(b *board) uint64
	ops      func(w *worker) // the same, operation by operation
	locked   bool
}

// Programs in the order that teaches.
var Programs = []*Program{
	{Name: "plain", function: "addPlain", run: addPlain, ops: opPlain,
		About: "load, add, store: nothing keeps the other process out"},
	{Name: "increment", function: "addOne", run: addOne, ops: opOne,
		About: "one instruction: no step comes between, but another CPU can"},
	{Name: "checked", function: "addChecked", run: addChecked, ops: opChecked,
		About: "a lock of our own: look whether it is taken, then take it"},
	{Name: "mutex", function: "addLocked", run: addLocked, ops: opLocked, locked: true,
		About: "mutex.Mutex around the three steps: who comes second sleeps"},
}

// Find returns a program by its name.
func Find(name string) *Program {
	i := slices.IndexFunc(Programs, func(p *Program) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return Programs[i]
}

func (p *Program) entry() uintptr { return reflect.ValueOf(p.run).Pointer() }

// home is where a process stands between two additions.
//
//go:noinline
func home() {}

func homeAddress() uintptr { return reflect.ValueOf(home).Pointer() }

// What follows is what is shown, and what runs. Each returns what it has stored: else
// the compiler would make one instruction of the three (P-G15). Without nosplit there
// would be a check of the stack in front.

//go:noinline
//go:nosplit
func addPlain(b *board) uint64 {
	v := b.N
	v++
	b.N = v
	return v
}

//go:noinline
//go:nosplit
func addOne(b *board) uint64 {
	b.N++
	return 0
}

//go:noinline
//go:nosplit
func addChecked(b *board) uint64 {
	//lint:ignore SA5002 another process changes it
	for b.Taken != 0 {
	}
	b.Taken = 1
	v := b.N
	v++
	b.N = v
	b.Taken = 0
	return v
}

//go:noinline
//go:nosplit
func addLocked(b *board) uint64 {
	b.Lock.Lock()
	v := b.N
	v++
	b.N = v
	b.Lock.Unlock()
	return v
}

// stores is the line in each of them after which the addition is made.
func stores(line string) bool { return line == "b.N = v" || line == "b.N++" }

// takes is the line that takes the lock of our own.
func takes(line string) bool { return line == "b.Taken = 1" }

// matters says whether a line does anything that others see.
func matters(line string) bool {
	return line != "}" && !strings.HasPrefix(line, "//") && !strings.HasPrefix(line, "return") && !strings.HasPrefix(line, "func")
}

// The same, with a turn before each operation but the first, to which a process comes
// from home.

func opPlain(w *worker) {
	v := w.b.N
	w.turn(1, v)
	v++
	w.turn(2, v)
	w.b.N = v
}

func opOne(w *worker) { w.b.N++ }

func opChecked(w *worker) {
	for w.b.Taken != 0 {
		w.turn(0, 0)
	}
	w.turn(1, 0)
	w.b.Taken = 1
	w.turn(2, 0)
	v := w.b.N
	w.turn(3, v)
	v++
	w.turn(4, v)
	w.b.N = v
	w.turn(5, v)
	w.b.Taken = 0
}

func opLocked(w *worker) {
	w.b.Lock.Lock()
	w.turn(1, 0)
	v := w.b.N
	w.turn(2, v)
	v++
	w.turn(3, v)
	w.b.N = v
	w.turn(4, v)
	w.b.Lock.Unlock()
}

//go:embed programs.go
var sources embed.FS

// source is this file, line by line.
func source() []string {
	text, _ := sources.ReadFile("programs.go")
	return strings.Split(string(text), "\n")
}

// body is the source of the program's function, with the numbers of its lines.
func (p *Program) body() (lines []Line) {
	inside := false
	for i, line := range source() {
		switch {
		case strings.HasPrefix(line, "func "+p.function+"("):
			inside = true
		case line == "}" && inside:
			return lines
		case inside:
			lines = append(lines, Line{Source: strings.TrimSpace(line), Number: i + 1})
		}
	}
	return lines
}
