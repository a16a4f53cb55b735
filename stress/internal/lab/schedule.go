package lab

import (
	"errors"
	"fmt"
	"strings"

	"interlock/stress/internal/ptrace"
)

// A schedule is what is done, letter by letter: A and B are a step of that process, x
// and y the kill -9 of A and of B.
const letters = "ABxy"

// ErrLetter: a schedule has a letter that means nothing.
var ErrLetter = errors.New("it takes A and B, a step each, and x and y, which kill A and B")

// ParseSchedule checks a schedule; blanks and dots in it are for the eye.
func ParseSchedule(text string) (string, error) {
	text = strings.NewReplacer(" ", "", ".", "").Replace(text)
	const longest = 10_000
	if len(text) > longest {
		return "", fmt.Errorf("a schedule of %d steps; at most %d", len(text), longest)
	}
	for _, r := range text {
		if !strings.ContainsRune(letters, r) {
			return "", fmt.Errorf("%q in a schedule: %w", r, ErrLetter)
		}
	}
	return text, nil
}

// Orders are all orders of n steps of A and n of B.
func Orders(n int) []string { return Merges(strings.Repeat("A", n), strings.Repeat("B", n)) }

// Outcome is what the counter must be after an order of steps of which each third one
// stores what the first has loaded, plus 1.
func Outcome(order string) (n uint64) {
	const load, store = 1, 3
	var steps [2]int
	var register [2]uint64
	for _, r := range order {
		p := strings.IndexRune(letters, r) % 2
		switch steps[p]++; steps[p] {
		case load:
			register[p] = n
		case store:
			n = register[p] + 1
		}
	}
	return n
}

// Merges are all orders of the letters of a and b that keep each one's own.
func Merges(a, b string) []string {
	if a == "" || b == "" {
		return []string{a + b}
	}
	var all []string
	for _, rest := range Merges(a[1:], b) {
		all = append(all, a[:1]+rest)
	}
	for _, rest := range Merges(a, b[1:]) {
		all = append(all, b[:1]+rest)
	}
	return all
}

// Do does one letter, and waits until nobody moves.
func (l *Lab) Do(letter byte) (Row, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b == nil {
		return Row{}, errClosed
	}
	if strings.IndexByte(letters, letter) < 0 {
		return Row{}, fmt.Errorf("%q is no step", letter)
	}
	p := l.procs[strings.IndexByte(letters, letter)%2]
	r := Row{Letter: string(letter)}
	at, _, standing := p.place()
	switch {
	case p.dead:
		r.Text, r.Note = "-", "dead"
	case letter >= 'x':
		r.Text = "kill -9"
		p.end()
		if err := l.settle(); err != nil {
			return r, err
		}
	case !standing:
		r.Text, r.Note = "-", "asleep"
	default:
		before := p.registers()
		r.Text = l.code.lines[at].Text()
		if err := l.step(p); err != nil {
			return r, err
		}
		r.Note = l.effect(p, before, l.code.lines[at].call)
	}
	r.N = l.b.N
	l.rows = append(l.rows, r)
	return r, nil
}

func (l *Lab) step(p *proc) error {
	if err := p.step(); err != nil {
		return err
	}
	return l.settle()
}

// effect is what a step has done to the process's registers. What a call leaves in them
// is of no interest, nor is what they are at home.
func (l *Lab) effect(p *proc, before []ptrace.Register, call bool) string {
	var changes []string
	if _, home, standing := p.place(); !standing {
		return "sleeps"
	} else if home || call {
		return ""
	}
	for i, r := range p.registers() {
		switch r.Name {
		case "SP", "IP", "FLAGS":
			continue
		}
		if i < len(before) && before[i].Value != r.Value && r.Value < 1<<20 { // what is larger is an address
			changes = append(changes, fmt.Sprintf("%s=%d", r.Name, r.Value))
		}
	}
	return strings.Join(changes, " ")
}

// Play does a whole schedule.
func (l *Lab) Play(schedule string, each func(Row)) error {
	for i := range len(schedule) {
		r, err := l.Do(schedule[i])
		if err != nil {
			return err
		}
		each(r)
	}
	return nil
}

// scheduleNow is what was done, as a schedule.
func (l *Lab) scheduleNow() string {
	var b strings.Builder
	for _, r := range l.rows {
		b.WriteString(r.Letter)
	}
	return b.String()
}
