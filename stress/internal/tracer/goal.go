package tracer

import "fmt"

// phase is where a victim is killed at a system call.
type phase int

const (
	before phase = iota // the kernel has not looked at it
	during              // at once after that, on another CPU
	within              // asleep in it
	after               // it has been made, and the victim does not know yet
)

func (p phase) String() string { return [...]string{"before", "in", "asleep in", "after"}[p] }

// A goal is where the victim is to be killed: the nth time that it comes by an
// instruction, or makes a call. The zero goal is the end of what it does.
type goal struct {
	pc   uintptr // an instruction, or where the library makes the call
	nth  int
	call bool
	nr   int
	when phase
}

func (g goal) String() string {
	what := "at the end"
	switch {
	case g.call:
		what = fmt.Sprintf("%v system call %d of %s", g.when, g.nr, place(g.pc))
	case g.pc != 0:
		what = "before " + place(g.pc)
	}
	if g.nth > 1 {
		what += fmt.Sprintf(", time %d", g.nth)
	}
	return what
}
