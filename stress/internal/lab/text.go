package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"interlock/stress/internal/prompt"
)

// Options say what is to be shown on a terminal.
type Options struct {
	Demo     string // as it is called
	Fixed    bool
	Engine   string // "" for the best that works here
	Schedule string // what to do; "" for what the keys say
	All      bool   // all orders of three steps each
	Quiz     bool   // ask for a prediction first
	In       *os.File
}

// Honest is what stepping cannot show.
const Honest = `One step at a time, nothing overlaps: what a CPU's store buffer does by
itself shows only at full speed: see stress demo impossible.`

// A screen writes what a person reads, in 80 columns, from the top down.
type screen struct {
	out io.Writer
	o   Options
	l   *Lab
}

func (s *screen) line(format string, args ...any) {
	fmt.Fprintln(s.out, strings.TrimRight(fmt.Sprintf(format, args...), " "))
}

// ForDemo returns the program of a demo, nil if it has none.
func ForDemo(name string, fixed bool) *Program {
	programs := map[string][2]string{ // as it is, and as it should be
		"lost-update":     {"plain", "mutex"},
		"one-instruction": {"increment", "mutex"},
		"check-then-lock": {"checked", "mutex"},
		"dead-owner":      {"mutex", "mutex"},
	}[name]
	if fixed {
		return Find(programs[1])
	}
	return Find(programs[0])
}

// Stepped are the demos that have a program.
const Stepped = "lost-update, one-instruction, check-then-lock and dead-owner"

// ErrOutcome: an order came to something else than it must.
var ErrOutcome = errors.New("an order did not come to what it must")

// Show steps through a demo on a terminal.
func Show(ctx context.Context, o Options, out io.Writer) error {
	l, err := New(ForDemo(o.Demo, o.Fixed), o.Engine)
	if err != nil {
		return err
	}
	defer l.Close()
	s := &screen{out, o, l}
	if o.All {
		return s.all(ctx)
	}
	s.head()
	switch {
	case o.Schedule != "":
		return s.play(ctx, o.Schedule)
	case isTerminal(o.In):
		return s.keys(ctx)
	}
	text, err := prompt.All(ctx, o.In)
	if err != nil {
		return err
	}
	schedule, err := ParseSchedule(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return err
	}
	return s.play(ctx, schedule)
}

// head says who is there, and shows the code.
func (s *screen) head() {
	st := s.l.State()
	s.line("%s: %s", st.Program, st.About)
	s.line("A = pid %d, B = pid %d", st.Procs[0].PID, st.Procs[1].PID)
	s.line("A step is %s.", s.l.stepIs())
	if st.Why != "" {
		s.line("    (%s)", st.Why)
	}
	s.line("")
	passed := false
	for _, l := range st.Code {
		mark := " "
		if l.Passed {
			mark, passed = ".", true
		}
		if l.Asm == "" {
			s.line("    %s %s", mark, l.Source)
		} else {
			s.line("    %s %-26s %s", mark, l.Asm, l.Source)
		}
	}
	if passed {
		s.line("    (. gone through at full speed, like what is called)")
	}
	s.line("")
	s.line("%s\n", Honest)
}

// stepIs says what a step is.
func (l *Lab) stepIs() string {
	if l.engine == EngineCPU {
		return "one machine instruction (ptrace)"
	}
	return "one operation of the source (a semaphore)"
}

const rowFormat = " %4s | %-27s | %-27s | %7s"

func (s *screen) titles() {
	s.line(rowFormat, "step", "A", "B", "counter")
	s.line("------+-%s-+-%s-+--------", strings.Repeat("-", 27), strings.Repeat("-", 27))
}

// row writes one step: who does it, on whose side of the table.
func (s *screen) row(n int, r Row) {
	cell := fmt.Sprintf("%-19s %s", r.Text, r.Note)
	if r.Letter == "" {
		s.line(" %4d | %-57s | %7d", n, r.Text, r.N)
		return
	}
	cells := [2]string{}
	cells[strings.Index(letters, r.Letter)%2] = cell
	s.line(rowFormat, fmt.Sprint(n), cells[0], cells[1], fmt.Sprint(r.N))
}

func (s *screen) play(ctx context.Context, schedule string) error {
	answer := ""
	if s.o.Quiz {
		answer = s.ask(ctx, schedule)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.titles()
	n := 0
	err := s.l.Play(schedule, func(r Row) {
		n++
		s.row(n, r)
	})
	if err != nil {
		return err
	}
	s.summary()
	if answer == fmt.Sprint(s.l.State().N) {
		s.line("You said so.")
	} else if answer != "" {
		s.line("You said %s.", answer)
	}
	return nil
}

// ask asks for a prediction, "" if there is none.
func (s *screen) ask(ctx context.Context, schedule string) string {
	s.line("What will the counter be after %s?", schedule)
	fmt.Fprint(s.out, "Your answer: ")
	answer, _ := prompt.Line(ctx, s.o.In)
	s.line("\n")
	return strings.TrimSpace(answer)
}

// summary is how things stand.
func (s *screen) summary() {
	st := s.l.State()
	s.line("")
	s.line("Additions finished: %d. The counter: %d.%s", st.Expected, st.N, lostText(st.Expected, st.N))
	if st.Locked {
		s.line("The lock: %s.", st.Lock)
	}
	for _, q := range st.Queue {
		s.line("Asleep in the kernel (futex): %s.", q)
	}
	if st.Mended != "" {
		s.line("%s.", strings.ToUpper(st.Mended[:1])+st.Mended[1:])
	}
	if st.Schedule != "" {
		s.line("Again: stress demo %s%s -step -schedule %s", s.o.Demo, s.flags(), st.Schedule)
	}
}

func (s *screen) flags() string {
	text := ""
	if s.o.Fixed {
		text += " -fixed"
	}
	if s.o.Engine != "" {
		text += " -engine " + s.o.Engine
	}
	return text
}

func lostText(expected, n uint64) string {
	if n >= expected {
		return ""
	}
	return fmt.Sprintf(" LOST: %d.", expected-n)
}

// all runs every order of three steps each, with new processes for each.
func (s *screen) all(ctx context.Context) error {
	steps := s.l.code.last - s.l.code.first + 1
	if steps != 3 {
		return fmt.Errorf("all orders are shown of a program of three steps, and %s has %d", s.l.program.Name, steps)
	}
	s.line("Every order of load, add and store, twice, each run by two new processes;")
	s.line("a step is %s.", s.l.stepIs())
	s.line("")
	lost, wrong := 0, 0
	for i, order := range Orders(steps) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if i > 0 {
			if err := s.l.Reset(s.l.program); err != nil {
				return err
			}
		}
		if err := s.l.Play(order, func(Row) {}); err != nil {
			return err
		}
		st := s.l.State()
		if st.N < st.Expected {
			lost++
		}
		if st.N != Outcome(order) {
			wrong++
		}
		s.line("    %2d  %s  A = pid %-8d B = pid %-8d counter %d%s", i+1, order, st.Procs[0].PID, st.Procs[1].PID, st.N, []string{"", "  lost"}[min(st.Expected-st.N, 1)])
	}
	s.line("")
	s.line("%d orders; in %d of them an addition is lost.", len(Orders(steps)), lost)
	if wrong > 0 {
		return fmt.Errorf("%w: %d of them", ErrOutcome, wrong)
	}
	return nil
}
