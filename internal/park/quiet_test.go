// What holds for a process whose goroutines wait for many different words, of
// mutexes, semaphores and condition variables, while nothing happens (T03, T84, P-G2):
//   - it uses less than 1 % of a CPU;
//   - thousands of words cost tens of threads;
//   - each word that is released reaches its waiter, promptly;
//   - once nobody waits any more, nothing runs.
//
// The idle process is a child: its usage, its threads and its ticker are its own.
package park_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"interlock/internal/park"
	"interlock/internal/proctest"
)

// A kind is a way to wait.
type kind struct {
	name    string
	close   func(p *place)             // so that wait waits
	wait    func(p *place)             // one goroutine's wait
	release func(p *place) error       // ends one wait
	word    func(p *place) *sharedWord // for which it waits
}

var kinds = []kind{
	{"mutex", func(p *place) { p.m.Lock() }, func(p *place) { p.m.Lock(); p.note(); p.m.Unlock() },
		func(p *place) error { p.m.Unlock(); return nil }, func(p *place) *sharedWord { return mutexWord(&p.m) }},
	{"semaphore", func(*place) {}, func(p *place) { must(p.s.Acquire(context.Background())); p.note() },
		func(p *place) error { return p.s.Release() }, func(p *place) *sharedWord { return semaphoreWord(&p.s) }},
	{"cond", func(*place) {}, func(p *place) { p.m.Lock(); p.c.Wait(&p.m); p.note(); p.m.Unlock() },
		func(p *place) error { p.c.Signal(); return nil }, func(p *place) *sharedWord { return condWord(&p.c) }},
}

// kindOf is the kind of place i where all have the same, or "mixed".
func kindOf(name string, i int) kind {
	for _, k := range kinds {
		if k.name == name {
			return k
		}
	}
	return kinds[i%len(kinds)]
}

func (p *place) note() { p.served.Store(proctest.Now()) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func init() {
	// idlers KIND N MS: a goroutine waits at each of N places. Says what it uses
	// while all wait, during MS; and once nobody does.
	proctest.Register("idlers", func(c *proctest.Child) {
		places := placesIn(c.Memory(0), c.Int(1))
		var all sync.WaitGroup
		for i := range places {
			all.Add(1)
			go func() {
				defer all.Done()
				kindOf(c.Args[0], i).wait(&places[i])
			}()
		}
		c.Until("all to wait", func() bool {
			for i := range places {
				if park.Waiters(kindOf(c.Args[0], i).word(&places[i])) != 1 {
					return false
				}
			}
			return true
		})
		for range 30 { // the last ones are on their way to sleep
			if percent, _ := used(100 * time.Millisecond); percent < 10 {
				break
			}
		}
		percent, switches := used(time.Duration(c.Int(2)) * time.Millisecond)
		c.Sayf("%f %f %d %t", percent, switches, proctest.Threads(os.Getpid()), ticking())
		all.Wait()
		c.Say("all served")
		c.Until("the end of the ticker", func() bool { return !ticking() })
		c.Say("quiet")
		percent, switches = used(500 * time.Millisecond)
		c.Sayf("%f %f %d %t", percent, switches, proctest.Threads(os.Getpid()), ticking())
	})
}

// used is what this process uses while the caller sleeps.
func used(d time.Duration) (percent, switches float64) {
	before := proctest.Used()
	time.Sleep(d) // the time of the measurement
	return proctest.Used().Since(before)
}

// ticker matches a function of package park that looks at words by the clock.
var ticker = regexp.MustCompile(`(?im)^(created by )?interlock/internal/park\.\S*tick`)

// ticking reports whether a goroutine of this process runs it.
func ticking() bool {
	buf := make([]byte, 1<<24)
	return ticker.Match(buf[:runtime.Stack(buf, true)])
}

// report is what an idle process says.
type report struct {
	percent, switches float64
	threads           int
	ticking           bool
}

func (r report) String() string {
	return fmt.Sprintf("%.2f %% of a CPU, %.0f wake-ups a second, %d threads", r.percent, r.switches, r.threads)
}

func reportOf(t *testing.T, p *proctest.Proc) (r report) {
	t.Helper()
	line := p.Line()
	if _, err := fmt.Sscan(line, &r.percent, &r.switches, &r.threads, &r.ticking); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return r
}

// idle makes n places, and a child whose goroutines wait there.
func idle(t *testing.T, name string, n int, d time.Duration, opts ...proctest.Option) (*proctest.Proc, []place) {
	t.Helper()
	f, mem := proctest.Memfd(t, (n*placeSize+4095)&^4095)
	places := placesIn(mem, n)
	for i := range places {
		kindOf(name, i).close(&places[i])
	}
	return proctest.Start(t, "idlers", append(opts, proctest.Files(f),
		proctest.Args(name, strconv.Itoa(n), strconv.Itoa(int(d.Milliseconds()))))...), places
}

// serve releases the waiters one by one and returns how long each took to be back.
func serve(t *testing.T, name string, places []place) (took proctest.Times) {
	t.Helper()
	for _, i := range rand.Perm(len(places)) {
		start := proctest.Now()
		if err := kindOf(name, i).release(&places[i]); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(proctest.Patience); places[i].served.Load() == 0; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("the waiter of %s %d sleeps on", kindOf(name, i).name, i)
			}
		}
		took = append(took, time.Duration(places[i].served.Load()-start))
	}
	return took
}

func prompt(t *testing.T, took proctest.Times) {
	t.Helper()
	const promise = time.Millisecond
	t.Logf("from release to its waiter: %v (promised: %v, typically)", took, promise)
	if took.At(0.5) > 10*promise || proctest.TooLate(took.At(1)) {
		t.Errorf("from release to its waiter: %v", took)
	}
}

func TestWaitingForAThousandWordsIsFree(t *testing.T) { // T03, T84, P-G2
	proctest.NeedsWaitv(t)
	const promise = 1.0 // per cent of a CPU
	n := proctest.Scaled(1000, 300)
	proctest.Watchdog(t, 3*time.Minute, nil)
	window := proctest.Lasts(t, 3*time.Second, 30*time.Second)
	names := []string{"mutex", "semaphore", "cond", "mixed"}
	var children []*proctest.Proc
	var all [][]place
	for _, name := range names { // all at once: the windows are long, and their usage apart
		p, places := idle(t, name, n, window)
		children, all = append(children, p), append(all, places)
	}
	// What they say while all wait, before the first is served, which takes CPU time.
	var waiting []report
	for _, p := range children {
		waiting = append(waiting, reportOf(t, p))
	}
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Logf("%d waiters, while nothing happens: %v (promised: %v %%)", n, waiting[i], promise)
			if waiting[i].percent > 10*promise {
				t.Errorf("waiting costs %.1f %% of a CPU", waiting[i].percent)
			}
			if !waiting[i].ticking {
				t.Log("the ticker goes by another name: its end is not seen by it")
			}
			prompt(t, serve(t, name, all[i]))
			children[i].Expect("all served")
			start := time.Now()
			children[i].Expect("quiet")
			t.Logf("the ticker ended after %v", time.Since(start).Round(time.Millisecond))
			if took := time.Since(start); proctest.TooLate(took) {
				t.Errorf("the ticker ran on for %v", took)
			}
			after := reportOf(t, children[i])
			t.Logf("once nobody waits: %v", after)
			// A ticker of another name would show by its wake-ups.
			if after.percent > 10*promise || after.ticking || !waiting[i].ticking && after.switches > 30 {
				t.Errorf("once nobody waits: %v; ticking %v", after, after.ticking)
			}
			children[i].WaitExit(0)
		})
	}
}

func TestFiveThousandWordsCostFewThreads(t *testing.T) { // T84, P-G2
	proctest.NeedsWaitv(t)
	few := 170 + proctest.FewThreads()
	n := proctest.Scaled(5000, 1000)
	proctest.Watchdog(t, 3*time.Minute, nil)
	p, places := idle(t, "mixed", n, 100*time.Millisecond)
	waiting := reportOf(t, p)
	t.Logf("%d waiters for as many words: %v", n, waiting)
	if waiting.threads > few {
		t.Errorf("%d threads, more than %d", waiting.threads, few)
	}
	prompt(t, serve(t, "mixed", places))
	p.Expect("all served")
	p.Expect("quiet")
	reportOf(t, p)
	p.WaitExit(0)
}
