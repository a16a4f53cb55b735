package shm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// T61: many processes make one object at once. Per round exactly one init
// runs, and everybody sees its finished work.

const raceSize = 8192

type raceT struct {
	Runs atomic.Uint32 // inits that ran to completion in this memory
	Fill [1000]uint32
}

// finish is what a correct init leaves; whole checks it.
func (v *raceT) finish(x uint32) {
	for i := range v.Fill {
		v.Fill[i] = x
	}
	v.Runs.Add(1)
}

func (v *raceT) whole() error {
	for i, x := range v.Fill {
		if x != v.Fill[0] || x == 0 {
			return fmt.Errorf("half made: word %d is %d, word 0 is %d", i, x, v.Fill[0])
		}
	}
	if n := v.Runs.Load(); n != 1 {
		return fmt.Errorf("%d inits ran in one memory", n)
	}
	return nil
}

// openRace opens by OpenOrCreate or Share and says what it saw.
func openRace(ctx context.Context, name string, typed bool, init func(*raceT) error) (*Segment, error) {
	if typed {
		p, s, err := Share(ctx, name, init)
		if err == nil {
			err = p.whole()
		}
		return s, err
	}
	s, err := OpenOrCreate(ctx, name, raceSize, func(s *Segment) error {
		p, err := At[raceT](s.Bytes(), 0)
		if err != nil {
			return err
		}
		return init(p)
	})
	if err != nil {
		return nil, err
	}
	p, err := At[raceT](s.Bytes(), 0)
	if err == nil {
		err = p.whole()
	}
	return s, err
}

func init() {
	// One line in, "NAME KIND": make it. One line out. The inits of a round
	// are counted in descriptor 3.
	children["race"] = func([]string) error {
		counter, err := FromFile(os.NewFile(3, "counter"))
		if err != nil {
			return err
		}
		c, err := At[raceCounters](counter.Bytes(), 0)
		if err != nil {
			return err
		}
		step = func(string) { // shake the order of the steps
			if rand.IntN(4) == 0 {
				time.Sleep(time.Duration(rand.IntN(100)) * time.Microsecond)
			}
		}
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			w := strings.Fields(in.Text())
			var wg sync.WaitGroup
			errs := [2]error{}
			for i := range errs { // goroutines of one process race too
				wg.Add(1)
				go func() {
					defer wg.Done()
					errs[i] = openUntilFine(w[0], w[1] == "typed", c)
				}()
			}
			wg.Wait()
			fmt.Println(errs[0], errs[1])
		}
		return nil
	}
}

// raceCounters lie in memory of their own, outside what is raced for.
type raceCounters struct {
	Done   atomic.Uint32 // inits that returned nil
	Inside atomic.Uint32 // inits running now
	Fail   atomic.Int32  // so many inits are still to fail
}

var errFlaky = errors.New("flaky init")

func openUntilFine(name string, typed bool, c *raceCounters) error {
	for {
		s, err := openRace(context.Background(), name, typed, func(v *raceT) error {
			if n := c.Inside.Add(1); n != 1 {
				return fmt.Errorf("%d inits at once", n)
			}
			step("inside init")
			defer c.Inside.Add(^uint32(0))
			if c.Fail.Add(-1) >= 0 {
				return errFlaky
			}
			v.finish(c.Done.Add(1))
			return nil
		})
		if err == nil {
			return s.Close()
		}
		if !errors.Is(err, errFlaky) {
			return err
		}
	}
}

func TestExactlyOneInit(t *testing.T) {
	procs, rounds := 16, 1000
	if testing.Short() {
		procs, rounds = 4, 30
	}
	raceToInit(t, procs, rounds)
}

func raceToInit(t *testing.T, procs, rounds int) {
	start := time.Now()
	counter := must[*Segment](t)(Memfd("counter", 64))
	defer closeNow(t, counter)
	c := must[*raceCounters](t)(At[raceCounters](counter.Bytes(), 0))
	ins, outs := make([]io.WriteCloser, procs), make([]*bufio.Scanner, procs)
	for i := range procs {
		cmd := child(t, "race")
		cmd.ExtraFiles = []*os.File{counter.File()}
		ins[i] = must[io.WriteCloser](t)(cmd.StdinPipe())
		outs[i] = bufio.NewScanner(must[io.ReadCloser](t)(cmd.StdoutPipe()))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer ins[i].Close()
	}
	for round := range rounds {
		name := newName(t)
		kind := []string{"raw", "typed"}[round%2]
		c.Done.Store(0)
		c.Fail.Store(int32(round % 8)) // that many inits fail first
		for _, in := range ins {
			fmt.Fprintln(in, name, kind)
		}
		for i, out := range outs {
			if !out.Scan() || out.Text() != "<nil> <nil>" {
				t.Fatalf("round %d, process %d: %q", round, i, out.Text())
			}
		}
		if n := c.Done.Load(); n != 1 {
			t.Fatalf("round %d: init succeeded %d times", round, n)
		}
		if err := Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d rounds of %d processes with 2 goroutines each: %v", rounds, procs, time.Since(start).Round(time.Millisecond))
}
