package report

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Snapshot is what the progress line shows.
type Snapshot struct {
	Name      string
	Elapsed   time.Duration
	Ops       uint64
	Kills     int
	Recovered int
	Longest   time.Duration
	Fairness  float64
}

// Progress shows how a run goes: one line that is drawn again and again on a
// terminal, else a line every five seconds.
type Progress struct {
	out   io.Writer
	tty   bool
	color bool

	mu    sync.Mutex
	drawn bool
	last  time.Time
}

// NewProgress writes to f.
func NewProgress(f *os.File) *Progress {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	tty := err == nil && os.Getenv("TERM") != "dumb"
	return &Progress{out: f, tty: tty, color: tty && os.Getenv("NO_COLOR") == "", last: time.Now()}
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
	rate := uint64(float64(s.Ops) / max(s.Elapsed.Seconds(), 1e-3))
	line := fmt.Sprintf("%s %.1fs %s ops/s kills %d recovered %d longest wait %s fairness %.2f",
		s.Name, s.Elapsed.Seconds(), Count(rate), s.Kills, s.Recovered, Short(s.Longest), s.Fairness)
	if !p.tty {
		fmt.Fprintln(p.out, line)
		return
	}
	if p.color {
		line = "\x1b[2m" + line + "\x1b[0m"
	}
	fmt.Fprintf(p.out, "\r\x1b[K%s", line)
	p.drawn = true
}

// Clear takes the progress line off the terminal.
func (p *Progress) Clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.drawn = false
	}
}
