// What holds while a process scribbles over every word of a segment at full speed (T80,
// T81, T83):
//   - no honest process crashes, whatever it calls there;
//   - each call with a context ends when that does, and each other one soon;
//   - an error or a panic is one that the documentation has.
package strange

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"interlock/internal/proctest"
	"interlock/internal/vandal"
	"interlock/shm"
)

func TestMain(m *testing.M) { proctest.Main(m) }

const atTargets = 4096 // a page of its own, which the vandal spares

// targets are the numbers that mean something: of the honest, and of the dead.
type targets struct {
	stop atomic.Uint32
	n    vandal.Numbers
}

func lay(f *os.File) (*vandal.Everything, *targets, []uint64, error) {
	s, err := shm.FromFile(f)
	if err != nil {
		return nil, nil, nil, err
	}
	e, err1 := shm.At[vandal.Everything](s.Bytes(), 0)
	g, err2 := shm.At[targets](s.Bytes(), atTargets)
	w, err3 := shm.Slice[uint64](s.Bytes(), 0, 512)
	return e, g, w, errors.Join(err1, err2, err3)
}

func init() {
	proctest.Register("vandal", func(c *proctest.Child) {
		_, g, all, err := lay(c.File(0))
		c.Check(err)
		c.Say("at work")
		for r := rand.New(rand.NewPCG(uint64(c.Int(0)), 3)); g.stop.Load() == 0; {
			g.n.Scribble(r, all)
		}
	})
	proctest.Register("honest", func(c *proctest.Child) {
		e, g, _, err := lay(c.File(0))
		c.Check(err)
		h := &honest{c: c, worst: map[string]time.Duration{}, calls: map[string]int{}}
		var all sync.WaitGroup
		for _, call := range e.Calls() {
			all.Add(1)
			go func() {
				defer all.Done()
				for g.stop.Load() == 0 {
					h.once(call)
				}
			}()
		}
		all.Wait()
		c.Sayf("%d kinds of calls: %v; the longest: %v", len(h.calls), h.calls, h.worst)
	})
}

// An honest process does all that one can do, in a goroutine for each.
type honest struct {
	c *proctest.Child

	mu    sync.Mutex
	worst map[string]time.Duration
	calls map[string]int
}

const limit = 5 * time.Millisecond

// once makes one call, which may fail, or panic, as documented.
func (h *honest) once(call vandal.Call) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	start := time.Now()
	h.c.Check(call.Try(ctx))
	took := time.Since(start)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls[call.Name]++
	h.worst[call.Name] = max(h.worst[call.Name], took)
	if proctest.TooLate(h.worst[call.Name]) {
		h.c.Fatalf("%s took %v", call.Name, h.worst[call.Name])
	}
}

func TestAVandalInASegmentOfEverything(t *testing.T) { // T80, T81, T83
	f, mem := proctest.Memfd(t, 2*atTargets)
	g, err := shm.At[targets](mem, atTargets)
	if err != nil {
		t.Fatal(err)
	}
	d := proctest.Lasts(t, 2*time.Second, time.Minute)
	proctest.Watchdog(t, d+time.Minute, nil)
	dead := proctest.Start(t, "vandal", proctest.Files(f), proctest.Args("0"))
	dead.Kill()
	seed := os.Getpid()
	t.Logf("seed %d", seed)
	vandal := proctest.Start(t, "vandal", proctest.Files(f), proctest.Args(fmt.Sprint(seed)))
	var crowd []*proctest.Proc
	for range 2 {
		crowd = append(crowd, proctest.Start(t, "honest", proctest.Files(f)))
	}
	for i, pid := range []int{1, dead.Pid, crowd[0].Pid, crowd[1].Pid} {
		g.n[i].Store(uint32(pid))
	}
	vandal.Expect("at work")
	time.Sleep(d) // the longer the likelier
	g.stop.Store(1)
	vandal.WaitExit(0)
	clear(mem[:atTargets])
	for _, p := range crowd {
		t.Log(p.Line())
		p.WaitExit(0)
	}
}
