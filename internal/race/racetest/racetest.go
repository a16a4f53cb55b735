// Package racetest asks the race detector what it thinks of a primitive (T60).
//
// A Case lets goroutines touch one variable on the Go heap, in an order that is
// certain and that the detector does not know of, except by what the primitive
// announces. It runs in a process of its own, which the detector may report in,
// and says whether it must. Each runs twice: all goroutines reach the primitive
// at one address, and at two addresses of the same memory.
//
//	func init() { racetest.Register(cases...) }
//	func TestTheRaceDetector...(t *testing.T) { racetest.Judge(t, cases...) }
package racetest

import (
	"context"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/race"
)

// A Case is one question to the detector.
type Case struct {
	Name   string
	Report bool // whether it must report
	Run    func(s *Stage)
}

// A Stage is what a case has: memory with the primitive, and a variable.
type Stage struct {
	A, B []byte // the same shared memory, zero at first, at one address or at two
	Data *int   // what the primitive guards, or does not

	c     *proctest.Child
	baton *atomic.Uint32 // in shared memory: the detector does not see it
}

// Register registers the cases as child functions. Call it from an init.
func Register(cases ...Case) {
	for _, k := range cases {
		proctest.Register(child(k), func(c *proctest.Child) {
			f, s := c.File(0), New(c)
			defer f.Close() // not earlier, by the collector
			s.A = mapped(c, f)
			s.B = s.A
			if c.Args[0] == "two addresses" {
				s.B = mapped(c, f)
			}
			k.Run(s)
		})
	}
}

func child(k Case) string { return "race: " + k.Name }

// New makes a stage without memory.
func New(c *proctest.Child) *Stage {
	s := &Stage{Data: new(int), c: c, baton: At[atomic.Uint32](mapped(c, nil), 0)}
	c.Sayf("0x%012x", address(s.Data)) // as the detector writes it
	return s
}

// Judge runs the cases.
func Judge(t *testing.T, cases ...Case) {
	for _, k := range cases {
		for _, addresses := range []string{"one address", "two addresses"} {
			t.Run(k.Name+"/"+addresses, func(t *testing.T) {
				if !race.Enabled {
					proctest.Excuse(child(k))
					t.Skip("needs -race")
				}
				f, _ := proctest.Memfd(t, os.Getpagesize())
				p := proctest.Start(t, child(k), proctest.MayRace(), proctest.Files(f), proctest.Args(addresses))
				Verdict(t, p, k.Report)
			})
		}
	}
}

// Verdict waits for the end of a child with a stage, and fails the test if the
// detector has not reported in it as it must, if it has reported of anything but
// Data, or if the child ended badly for another reason.
func Verdict(t *testing.T, p *proctest.Proc, want bool) {
	t.Helper()
	const raced = 66 // the exit status of a program that the detector reported in
	data := p.Line()
	status := p.Wait()
	reports := strings.Split(p.Output(), "WARNING: DATA RACE")[1:]
	if got := len(reports) > 0; got != want {
		t.Errorf("reported: %v, want %v", got, want)
	}
	for _, r := range reports {
		if !strings.Contains(r, " at "+data+" by ") {
			t.Errorf("a report is not about %s, which the case is about", data)
		}
	}
	if code := status.ExitStatus(); code != 0 && (len(reports) == 0 || code != raced) {
		t.Errorf("the child ended with status %d", code)
	}
}

// mapped maps a page of the file, or of no file.
func mapped(c *proctest.Child, f *os.File) []byte {
	fd, flags := -1, unix.MAP_SHARED|unix.MAP_ANON
	if f != nil {
		fd, flags = int(f.Fd()), unix.MAP_SHARED
	}
	mem, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, flags)
	c.Check(err)
	return mem
}

// InTurn runs the steps one after the other, each in a goroutine of its own.
func (s *Stage) InTurn(steps ...func()) {
	actors := make([]func(), len(steps))
	for i, step := range steps {
		actors[i] = func() {
			s.Await(i)
			step()
			s.Reach(i + 1)
		}
	}
	s.AtOnce(actors...)
}

// AtOnce runs the actors at the same time, each in a goroutine of its own.
func (s *Stage) AtOnce(actors ...func()) {
	ended := make(chan bool)
	for _, actor := range actors {
		go func() {
			actor()
			ended <- true
		}()
	}
	for range actors {
		<-ended
	}
}

// Reach says that the play has come to this point, and Await waits until it has.
func (s *Stage) Reach(point int) { s.baton.Store(uint32(point)) }

// Await waits for Reach.
func (s *Stage) Await(point int) {
	for s.baton.Load() < uint32(point) {
		runtime.Gosched()
	}
}

// AwaitSleepers waits until n threads of this process sleep on shared words.
func (s *Stage) AwaitSleepers(n int) {
	for proctest.Sleepers(os.Getpid()) < n {
		runtime.Gosched()
	}
}

// Soon is a context for calls that are to fail: it ends in a moment.
func (s *Stage) Soon() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	context.AfterFunc(ctx, cancel)
	return ctx
}

// Must ends the child unless it is as it must be.
func (s *Stage) Must(ok bool, what string) {
	if !ok {
		s.c.Fatalf("not so: %s", what)
	}
}

// Check ends the child if err is an error.
func (s *Stage) Check(err error) { s.c.Check(err) }
