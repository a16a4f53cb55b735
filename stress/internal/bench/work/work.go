// Package work is the worker's side of a measurement: a process that gets orders
// on its standard input, one line each, and answers each with a line on its
// standard output. The C programs in ../testdata and the program in ../peers
// speak the same lines:
//
//	for NANOSECONDS at MONOTONIC mode WORD
//	ops N ns N best F middle F waits V:N,V:N,…
//
// Between two orders it sleeps in a read, so that whoever is measured meanwhile
// has the machine to itself.
package work

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"interlock/stress/internal/arena"
)

// ErrBroke: what was measured did not do what it should, so its speed is no matter.
var ErrBroke = errors.New("an invariant broke")

// An Order is one slice of a measurement.
type Order struct {
	For  time.Duration
	At   int64  // when to begin, in arena.Now's time: the same moment for all
	Mode string // what it measures, in the role's own words
}

// String is the order's line.
func (o Order) String() string { return fmt.Sprintf("for %d at %d mode %s", o.For, o.At, o.Mode) }

// Await passes the time until the slice begins, and returns when it ends.
func (o Order) Await() (end int64) {
	time.Sleep(time.Duration(o.At - arena.Now()))
	return arena.Now() + int64(o.For)
}

func parseOrder(line string) (o Order, err error) {
	_, err = fmt.Sscanf(line, "for %d at %d mode %s", &o.For, &o.At, &o.Mode)
	return o, err
}

// A Conn is the conversation with the supervisor.
type Conn struct {
	in  *bufio.Reader
	out io.Writer
}

// NewConn talks by way of two pipes.
func NewConn(in io.Reader, out io.Writer) *Conn { return &Conn{bufio.NewReader(in), out} }

// Recv waits for the next line. io.EOF: the measurement is over.
func (c *Conn) Recv() (string, error) {
	line, err := c.in.ReadString('\n')
	if err != nil {
		return "", err
	}
	return line[:len(line)-1], nil
}

// Say sends a line.
func (c *Conn) Say(format string, args ...any) error {
	_, err := fmt.Fprintf(c.out, format+"\n", args...)
	return err
}

// Serve answers orders until there are no more.
func (c *Conn) Serve(do func(o Order) (Answer, error)) error {
	for {
		line, err := c.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		o, err := parseOrder(line)
		if err != nil {
			return fmt.Errorf("not an order: %q: %w", line, err)
		}
		a, err := do(o)
		if err != nil {
			return err
		}
		if err := c.Say("%s", a); err != nil {
			return err
		}
	}
}
