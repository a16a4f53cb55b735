// How soon a cancellation and a Rouse end a sleep: typically far below a
// millisecond, with futex_waitv and without, on one P and on many.
package futex

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

const (
	latencyRounds   = 500
	latencyAim      = time.Millisecond
	latencyAttempts = 3 // the best counts: machines are busy
)

func init() {
	// latency ERRNO PROCS: measures once per line received, "WaitContext" or
	// "Rouse"; PROCS 0 leaves GOMAXPROCS as it is.
	proctest.Register("latency", func(c *proctest.Child) {
		if !refuseWaitv(c, unix.Errno(c.Int(0))) {
			return
		}
		if n := c.Int(1); n > 0 {
			runtime.GOMAXPROCS(n)
		}
		mem := c.Memory(0)
		for c.Say("ready"); ; {
			took := latencies(c, mem, c.Recv() == "Rouse")
			c.Sayf("%d %d %d", took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
		}
	})
}

// latencies measures, in increasing order, the time from a Rouse, or from the
// cancellation of a WaitContext, to the return of the sleeper.
func latencies(c *proctest.Child, mem []byte, rouse bool) []time.Duration {
	s := new(Sleeper)
	begin, end := make(chan context.Context), make(chan time.Time)
	go func() {
		for ctx := range begin {
			var why Why
			var err error
			if rouse {
				why, err = s.Sleep(word(mem, 0), 0)
			} else if e := WaitContext(ctx, word(mem, 0), 0); e == context.Canceled {
				why = Roused
			}
			end <- time.Now()
			if why != Roused || err != nil {
				c.Fatalf("%v, %v", why, err)
			}
		}
	}()
	defer close(begin)
	var took []time.Duration
	for i := range latencyRounds {
		ctx, cancel := context.WithCancel(context.Background())
		w := proctest.Begin()
		begin <- ctx
		if i%4 > 0 {
			for proctest.Sleepers(os.Getpid()) == 0 {
				runtime.Gosched()
			}
		} else { // at any moment on its way into the kernel
			for until := time.Now().Add(rand.N(50 * time.Microsecond)); time.Now().Before(until); {
				runtime.Gosched()
			}
		}
		start := time.Now()
		if rouse {
			s.Rouse()
		}
		cancel()
		took = append(took, w.Less((<-end).Sub(start)))
	}
	slices.Sort(took)
	return took
}

func TestARouseIsPrompt(t *testing.T) { // T03, T88, P-K13
	proctest.Watchdog(t, hang, nil)
	for _, errno := range []unix.Errno{0, unix.ENOSYS} {
		for _, procs := range []int{0, 1} {
			f, _ := proctest.Memfd(t, 4096)
			p, _ := refusing(t, "latency", f, strconv.Itoa(int(errno)), strconv.Itoa(procs))
			for _, what := range []string{"WaitContext", "Rouse"} {
				title := fmt.Sprintf("%-11s refused %-5v GOMAXPROCS=%d", what, errno != 0, procs)
				for attempt := 1; !isPrompt(t, p, what, title); attempt++ {
					if attempt == latencyAttempts {
						t.Fatalf("%s: late", title)
					}
				}
			}
			p.Kill()
		}
	}
}

// isPrompt measures once. The median has a bound of its own: 10 ms is as long as a
// slice, in which a sleeper that no signal reaches would wake up by itself.
func isPrompt(t *testing.T, p *proctest.Proc, what, title string) bool {
	p.Send(what)
	var median, p99, worst time.Duration
	line := p.Line()
	if _, err := fmt.Sscanf(line, "%d %d %d", &median, &p99, &worst); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	t.Logf("%s: median %v, p99 %v, worst %v of %d", title, median, p99, worst, latencyRounds)
	return p99 <= 10*latencyAim && median <= 2*latencyAim
}
