package report

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Snapshot is what progress shows.
type Snapshot struct {
	Name      string
	Elapsed   time.Duration
	Planned   time.Duration
	Ops       uint64
	Kills     int
	Recovered int
	Longest   time.Duration
	Fairness  float64
}

// Progress shows how a run goes: a block that is drawn again and again on a terminal, else
// a line every five seconds.
type Progress struct {
	out   io.Writer
	tty   bool
	color bool
	width func() int // of the terminal now

	mu    sync.Mutex
	drawn int // lines on the screen
	last  time.Time
	rates rates
}

// NewProgress writes to f.
func NewProgress(f *os.File) *Progress {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	tty := err == nil && os.Getenv("TERM") != "dumb"
	return &Progress{out: f, tty: tty, color: tty && os.Getenv("NO_COLOR") == "", width: func() int { return columns(f) }, last: time.Now()}
}

// columns is how wide a terminal is.
func columns(f *os.File) int {
	const usual = 80
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return usual
	}
	return int(size.Col)
}

// Show draws a snapshot, or not: it decides by itself how often, and asks for one then.
func (p *Progress) Show(snapshot func() Snapshot) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	every := 5 * time.Second
	if p.tty {
		every = 150 * time.Millisecond
	}
	if time.Since(p.last) < every {
		return
	}
	p.last = time.Now()
	s := snapshot()
	if !p.tty {
		rate := uint64(float64(s.Ops) / max(s.Elapsed.Seconds(), 1e-3))
		fmt.Fprintf(p.out, "%s %.1fs %s ops/s kills %d recovered %d longest wait %s fairness %.2f\n",
			s.Name, s.Elapsed.Seconds(), Count(rate), s.Kills, s.Recovered, Short(s.Longest), s.Fairness)
		return
	}
	p.rates.add(s)
	p.draw(p.block(s))
}

// block is what a terminal shows.
func (p *Progress) block(s Snapshot) []string {
	now, line := p.rates.last(), p.rates.line()
	return []string{
		fmt.Sprintf("%-11s %.1fs of %.1fs", s.Name, s.Elapsed.Seconds(), s.Planned.Seconds()),
		fmt.Sprintf("  ops/s     %-7s %s", Count(now), line),
		fmt.Sprintf("  kills     %-7d recovered %-7d longest wait %-7s fairness %.2f", s.Kills, s.Recovered, Short(s.Longest), s.Fairness),
	}
}

// draw draws over what it has drawn before. No line is longer than the terminal is wide:
// it would take two rows, and the next one be drawn a row too low.
func (p *Progress) draw(lines []string) {
	var b strings.Builder
	p.erase(&b)
	most := p.width() - 1 // in the last column some terminals wrap at once
	for _, line := range lines {
		if utf8.RuneCountInString(line) > most {
			line = string([]rune(line)[:max(most, 0)])
		}
		if p.color {
			line = "\x1b[2m" + line + "\x1b[0m"
		}
		b.WriteString(line + "\n")
	}
	io.WriteString(p.out, b.String())
	p.drawn = len(lines)
}

// erase takes away what is drawn.
func (p *Progress) erase(b *strings.Builder) {
	if p.drawn > 0 {
		fmt.Fprintf(b, "\x1b[%dA\r\x1b[J", p.drawn)
	}
}

// Clear takes the progress off the terminal.
func (p *Progress) Clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	p.erase(&b)
	io.WriteString(p.out, b.String())
	p.drawn, p.rates = 0, rates{}
}

// rates are the operations per second between each two snapshots of a scenario.
type rates struct {
	before Snapshot
	all    []float64 // the last sparks of them
}

// sparks is how many rates are drawn.
const sparks = 40

func (r *rates) add(s Snapshot) {
	if s.Name != r.before.Name {
		*r = rates{before: Snapshot{Name: s.Name}}
	}
	if span := (s.Elapsed - r.before.Elapsed).Seconds(); span > 0 {
		r.all = append(r.all, float64(s.Ops-min(r.before.Ops, s.Ops))/span)
		r.all = r.all[max(0, len(r.all)-sparks):]
	}
	r.before = s
}

func (r *rates) last() uint64 {
	if len(r.all) == 0 {
		return 0
	}
	return uint64(r.all[len(r.all)-1])
}

// line draws the rates, the highest as a whole block.
func (r *rates) line() string {
	const blocks = "▁▂▃▄▅▆▇█"
	steps := []rune(blocks)
	most := 0.0
	for _, v := range r.all {
		most = max(most, v)
	}
	var b strings.Builder
	for _, v := range r.all {
		at := 0
		if most > 0 {
			at = min(int(v/most*float64(len(steps))), len(steps)-1)
		}
		b.WriteRune(steps[at])
	}
	return b.String()
}
