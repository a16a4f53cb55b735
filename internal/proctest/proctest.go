// Package proctest lets a test run parts of itself in other processes, and kill
// them. Go cannot fork (P-G13), so a child is the test binary again, started
// with an environment variable that names a registered function.
//
//	func init() {
//		proctest.Register("holder", func(c *proctest.Child) {
//			m := at(c.Memory(0))
//			m.Lock()
//			c.Say("locked")
//			c.Recv() // holds until told otherwise, or killed
//		})
//	}
//
//	func TestMain(m *testing.M) { proctest.Main(m) }
//
//	func TestHolderIsKilled(t *testing.T) {
//		f, mem := proctest.Memfd(t, 4096)
//		p := proctest.Start(t, "holder", proctest.Files(f))
//		p.Expect("locked")
//		p.Kill()
//		...
//	}
//
// Events, not sleeps, order a test: a child Says a line when it is somewhere,
// and Recvs a line before it goes on. Its standard output and input are the
// conversation and nothing else; its standard error is shown when the test fails.
// A program in C takes part the same way (StartProgram).
//
// Nothing outlives a test. Every child is killed and reaped in t.Cleanup, dies
// with the test process (PDEATHSIG), and Main fails the run for what is left.
package proctest

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Patience is how long Line, Expect, Wait and Until wait before they fail the
// test: far longer than any machine needs, so that it is never what decides.
const Patience = 60 * time.Second

// The environment of a child.
const (
	envChild = "INTERLOCK_TEST_CHILD" // the registered name
	envArgs  = "INTERLOCK_TEST_ARGS"  // JSON array of strings
	envRun   = "INTERLOCK_TEST_RUN"   // the run that it belongs to, to find strays
)

// A registered child function, and whether any test of this run used it.
type entry struct {
	f    func(c *Child)
	used bool
}

var (
	mu       sync.Mutex // guards the rest
	registry = map[string]*entry{}
	alive    = map[*Proc]bool{} // children not reaped yet
	started  = map[int]bool{}   // the pids of all children so far
)

// run names this run of the test binary: pids alone come back.
var run = fmt.Sprintf("%d-%s", os.Getpid(), strconv.FormatInt(time.Now().UnixNano(), 36))

// Register adds a child function. Call it from an init beside the test that
// starts it; the name is unique in the package.
func Register(name string, f func(c *Child)) {
	mu.Lock()
	defer mu.Unlock()
	if registry[name] != nil {
		panic("proctest: Register twice: " + name)
	}
	registry[name] = &entry{f: f}
}

// Excuse says that a test skips which would have started the named children, so
// that Main does not call them unused.
func Excuse(names ...string) {
	for _, name := range names {
		lookup(name)
	}
}

// lookup returns a registered function and notes that it is used.
func lookup(name string) func(c *Child) {
	mu.Lock()
	defer mu.Unlock()
	e := registry[name]
	if e == nil {
		panic("proctest: no child function is registered as " + strconv.Quote(name))
	}
	e.used = true
	return e.f
}

// Main is the whole of a TestMain. In a child process it runs the child's
// function; in the test process it runs the tests and then fails the run for
// what they left behind. It does not return.
func Main(m *testing.M) {
	if name := os.Getenv(envChild); name != "" {
		runChild(name)
		os.Exit(0)
	}
	os.Setenv(envRun, run) // inherited by all that we start, however
	before := descriptors()
	go watchLag()
	code := m.Run()
	if code == 0 && !isFuzzWorker() {
		code = complain(before)
	}
	os.Exit(code)
}

func runChild(name string) {
	c := newChild()
	if s := os.Getenv(envArgs); s != "" {
		c.Check(json.Unmarshal([]byte(s), &c.Args))
	}
	// What the child itself executes is not a child of this name.
	os.Unsetenv(envChild)
	os.Unsetenv(envArgs)
	lookup(name)(c)
}
