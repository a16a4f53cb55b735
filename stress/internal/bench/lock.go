package bench

import (
	"context"
	"fmt"
	"sync"

	"interlock/mutex"
	"interlock/semaphore"
	"interlock/stress/internal/bench/work"
)

// aloneBoard is what a process uses that nobody disturbs: struct alone of
// testdata/pairs.c.
type aloneBoard struct {
	Mu  mutex.Mutex
	_   [24]byte
	Sem semaphore.Semaphore
	_   [32]byte
}

// servePairs is one process that locks and unlocks by itself.
func servePairs(c *work.Conn, _ []string) error {
	b, _, err := inherit[aloneBoard]()
	if err != nil {
		return err
	}
	b.Sem.Init(1)
	var local sync.Mutex
	ways := map[string]func(n int){
		"mutex": func(n int) { lockPairs(&b.Mu, n) },
		"sem":   func(n int) { semPairs(&b.Sem, n) },
		"sync":  func(n int) { syncPairs(&local, n) },
	}
	return c.Serve(func(o work.Order) (work.Answer, error) {
		if ways[o.Mode] == nil {
			return work.Answer{}, fmt.Errorf("no mode %s", o.Mode)
		}
		return o.Batches(ways[o.Mode]), nil
	})
}

// Each kind has a loop of its own: a call by way of an interface would be measured
// with it, and what the compiler can inline would not be.

func lockPairs(m *mutex.Mutex, n int) {
	for range n {
		m.Lock()
		m.Unlock()
	}
}

func syncPairs(m *sync.Mutex, n int) {
	for range n {
		m.Lock()
		m.Unlock()
	}
}

func semPairs(s *semaphore.Semaphore, n int) {
	ctx := context.Background()
	for range n {
		_ = s.Acquire(ctx)
		_ = s.Release()
	}
}

// alone starts a process that works for itself; with C, glibc's. All are on the
// same CPU, of which only one at a time makes use: CPUs may differ.
func (r *Rig) alone(withC bool) (p *proc, err error) {
	g, err := memory[aloneBoard](r, 0)
	if err != nil {
		return nil, err
	}
	if withC {
		p, err = one(r.glibc(1, "pairs", nil, g.file))
	} else {
		p, err = r.worker("pairs", nil, g.file)
	}
	if err != nil {
		return nil, err
	}
	p.pin(cpus()[0])
	return p, nil
}

func runLock(r *Rig) error {
	ours, err := r.alone(false)
	if err != nil {
		return err
	}
	local := &Row{Name: "Lock+Unlock", Unit: Nanoseconds, Against: "sync.Mutex in one process", Reach: atMost(1.10)}
	if err := r.compare(local, best("mutex", ours), best("sync", ours)); err != nil {
		return err
	}
	c, err := r.alone(true)
	robust := &Row{Name: "Lock+Unlock", Unit: Nanoseconds, Against: againstGlibc, Reach: atMost(0.80)}
	if err != nil {
		return r.without(err, robust)
	}
	return r.compare(robust, best("mutex", ours), best("mutex", c))
}

// againstGlibc is what the library has to be measured by: it survives its holder too.
const againstGlibc = "glibc robust mutex in C"

func runSem(r *Rig) error {
	row := &Row{Name: "Acquire+Release", Unit: Nanoseconds, Against: "glibc sem_wait+sem_post in C", Reach: atMost(0.90)}
	ours, err := r.alone(false)
	if err != nil {
		return err
	}
	c, err := r.alone(true)
	if err != nil {
		return r.without(err, row)
	}
	return r.compare(row, best("sem", ours), best("sem", c))
}
