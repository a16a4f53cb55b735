package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudo terminal of so many columns. What is written to slave is
// read from master.
func openTerminal(t *testing.T, columns uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo terminals here: ", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// onTerminal runs the command with its stderr, and only that, on a terminal.
func onTerminal(t *testing.T, columns uint16, env []string, args ...string) string {
	t.Helper()
	master, slave := openTerminal(t, columns)
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(append(os.Environ(), asCommand+"=1", "TERM=xterm", "NO_COLOR="), env...)
	cmd.Stderr = slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	got := make(chan string, 1)
	go func() {
		var all bytes.Buffer
		_, _ = all.ReadFrom(master) // EIO when the last one has closed the other side
		got <- all.String()
	}()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	select {
	case text := <-got:
		return text
	case <-time.After(time.Minute):
		t.Fatal("somebody keeps the terminal open")
		return ""
	}
}

// A screen is what a terminal makes of what it is sent.
type screen struct {
	rows     [][]rune
	row, col int
	widest   int
	unknown  []string // sequences that it does not understand
}

func (s *screen) put(r rune) {
	for len(s.rows) <= s.row {
		s.rows = append(s.rows, nil)
	}
	for len(s.rows[s.row]) <= s.col {
		s.rows[s.row] = append(s.rows[s.row], ' ')
	}
	s.rows[s.row][s.col] = r
	s.col++
	s.widest = max(s.widest, s.col)
}

func (s *screen) write(text string) {
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' })
			s.control(rest[:end+1])
			text = rest[end+1:]
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		switch r {
		case '\r':
			s.col = 0
		case '\n':
			s.row++
		default:
			s.put(r)
		}
	}
}

func (s *screen) control(sequence string) {
	switch n := 0; {
	case strings.HasSuffix(sequence, "m"): // a colour
	case strings.HasSuffix(sequence, "A"):
		fmt.Sscanf(sequence, "%dA", &n)
		s.row -= n
	case sequence == "J":
		if s.row < len(s.rows) {
			s.rows = s.rows[:s.row+1]
			s.rows[s.row] = s.rows[s.row][:min(s.col, len(s.rows[s.row]))]
		}
	default:
		s.unknown = append(s.unknown, sequence)
	}
}

func (s *screen) String() string {
	var lines []string
	for _, row := range s.rows {
		lines = append(lines, strings.TrimRight(string(row), " "))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// On a terminal there is one block, in place, that fits; when the run is over it is gone.
func TestProgressOnATerminal(t *testing.T) {
	for _, columns := range []uint16{100, 30} {
		text := onTerminal(t, columns, nil, "run", "mutex", "condvar", "-duration", "1s")
		var s screen
		draws := strings.Split(text, "\x1b[J")
		most, whole := 0, ""
		for i, part := range draws {
			s.write(part)
			if most = max(most, len(s.rows)); i < len(draws)-1 {
				whole += s.String() + "\n"
				s.write("\x1b[J")
			}
		}
		if s.String() != "" || len(s.unknown) > 0 || s.row != 0 {
			t.Errorf("at the end the terminal shows %q, in row %d; not understood: %q", s.String(), s.row, s.unknown)
		}
		if len(draws) < 4 || most > 4 || s.widest >= int(columns) {
			t.Errorf("drawn %d times, %d rows, %d of %d columns wide", len(draws), most, s.widest, columns)
		}
		wants := []string{"mutex", "of 1.0s", "ops/s", "kills", "█", "condvar"}
		if columns > 80 {
			wants = append(wants, "recovered", "longest wait", "fairness")
		}
		for _, want := range wants {
			if !strings.Contains(whole, want) {
				t.Errorf("no %q in\n%s", want, whole)
			}
		}
		if !strings.Contains(text, "\x1b[2m") {
			t.Error("no colour")
		}
	}
}

// Nothing is drawn that was not wanted, and no colour.
func TestProgressAsWanted(t *testing.T) {
	if text := onTerminal(t, 100, []string{"NO_COLOR=1"}, "run", "mutex", "-duration", "600ms"); strings.Contains(text, "\x1b[2m") || !strings.Contains(text, "ops/s") {
		t.Errorf("with NO_COLOR: %q", text)
	}
	if text := onTerminal(t, 100, nil, "run", "mutex", "-duration", "600ms", "-no-progress"); text != "" {
		t.Errorf("with -no-progress: %q", text)
	}
	if text := onTerminal(t, 100, []string{"TERM=dumb"}, "run", "mutex", "-duration", "600ms"); strings.Contains(text, "\x1b") {
		t.Errorf("on a dumb terminal: %q", text)
	}
}
