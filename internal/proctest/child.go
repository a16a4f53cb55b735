package proctest

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// A Child is what a registered function gets: its side of the conversation.
type Child struct {
	Args []string // from the option Args
	in   *bufio.Reader
}

func newChild() *Child {
	return &Child{in: bufio.NewReader(os.Stdin)}
}

// Say sends a line to the test: Expect or Line there. One write, unbuffered: it
// has arrived even if we are killed right after.
func (c *Child) Say(line string) {
	if strings.Contains(line, "\n") {
		c.Fatalf("Say of several lines: %q", line)
	}
	_, err := os.Stdout.WriteString(line + "\n")
	c.Check(err)
}

// Sayf is Say with formatting.
func (c *Child) Sayf(format string, args ...any) { c.Say(fmt.Sprintf(format, args...)) }

// Recv waits for a line that the test Sends.
func (c *Child) Recv() string {
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.Fatalf("Recv: the test has closed the conversation: %v", err)
	}
	return strings.TrimSuffix(line, "\n")
}

// Int returns argument i as a number.
func (c *Child) Int(i int) int {
	n, err := strconv.Atoi(c.Args[i])
	c.Check(err)
	return n
}

// File returns file i of the option Files.
func (c *Child) File(i int) *os.File {
	return os.NewFile(uintptr(firstFile+i), fmt.Sprintf("file %d from the test", i))
}

// Memory maps file i of the option Files, shared and writable, whole. The
// address differs from the test's and from other children's on purpose: code
// that stores an address in shared memory shall fail here.
func (c *Child) Memory(i int) []byte {
	mem, err := mapElsewhere(c.File(i))
	c.Check(err)
	return mem
}

// Fatalf ends the child with a message on standard error and status 1.
func (c *Child) Fatalf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "child: "+format+"\n", args...)
	os.Exit(1)
}

// Check is Fatalf if err is an error.
func (c *Child) Check(err error) {
	if err != nil {
		c.Fatalf("%v", err)
	}
}
