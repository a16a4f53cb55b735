package bench

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/bench/work"
)

// serveCrowd is many goroutines that quarrel about one lock: the shared one, or a
// sync.Mutex of the process. args are how many, and which.
func serveCrowd(c *work.Conn, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	b, _, err := inherit[contendBoard]()
	if err != nil {
		return err
	}
	var lock sync.Locker = &b.Mu
	if args[1] == "sync" {
		lock = new(sync.Mutex)
	}
	if err := c.Say("ready"); err != nil {
		return err
	}
	return c.Serve(func(o work.Order) (work.Answer, error) { return b.crowd(o, lock, n), nil })
}

// crowd has n goroutines count until the time is over. All of them are there
// before it begins; when it is over each still gets the lock once, which is part
// of what is measured.
func (b *contendBoard) crowd(o work.Order, lock sync.Locker, n int) work.Answer {
	var over atomic.Bool
	var ops atomic.Uint64
	var all sync.WaitGroup
	gate := make(chan struct{})
	for range n {
		all.Add(1)
		go func() {
			defer all.Done()
			<-gate
			mine := uint64(0)
			for !over.Load() {
				lock.Lock()
				b.Counter++
				lock.Unlock()
				mine++
			}
			ops.Add(mine)
		}()
	}
	end := o.Await()
	begin := arena.Now()
	close(gate)
	time.Sleep(time.Duration(end - begin))
	over.Store(true)
	all.Wait()
	return work.Answer{Ops: ops.Load(), Elapsed: time.Duration(arena.Now() - begin)}
}

// crowd starts processes of n goroutines each.
func (r *Rig) crowd(procs, n int, lock string) (*quarrel, error) {
	g, err := memory[contendBoard](r, 0)
	if err != nil {
		return nil, err
	}
	q := &quarrel{board: g.at}
	if q.procs, err = r.workers(procs, "crowd", []string{strconv.Itoa(n), lock}, g.file); err != nil {
		return nil, err
	}
	for _, p := range q.procs {
		if err := p.expect("ready"); err != nil {
			return nil, err
		}
	}
	return q, nil
}

func runCrowd(r *Rig) error {
	const each = 1000
	ours, err := r.crowd(2, each, "shared")
	if err != nil {
		return err
	}
	local, err := r.crowd(1, 2*each, "sync")
	if err != nil {
		return err
	}
	return r.compare(&Row{Name: fmt.Sprintf("2 processes × %d", each), Unit: PerSecond,
		Against: "1 process × 2000, sync.Mutex", Reach: atLeast(0.5)}, ours.rate, local.rate)
}
