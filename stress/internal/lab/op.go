package lab

import (
	"context"
	"os"
	"runtime"
	"sync"

	"interlock/stress/internal/ptrace"
)

// A gatekeeper moves a process operation by operation: before each the process asks for
// a permit, of a semaphore in the shared memory.
type gatekeeper struct {
	pid   int
	seat  *seat
	ends  context.CancelFunc
	ended chan struct{}

	mu       sync.Mutex
	standing bool
}

// startOp starts a process that asks. It stands at home when it is first heard of.
func (l *Lab) startOp(place int, stderr *os.File) (mover, int, error) {
	ctx, cancel := context.WithCancel(context.Background())
	g := &gatekeeper{seat: &l.b.Seats[place], ends: cancel, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // for life: see Lab.start
		defer close(g.ended)
		var err error
		if g.pid, err = l.start(place, stderr); err == nil {
			if err = awaitReady(g.pid, g.seat, l.program.entry()); err != nil {
				kill(g.pid)
				reap(g.pid)
			}
		}
		started <- err
		if err != nil {
			return
		}
		for g.seat.Arrived.Acquire(ctx) == nil {
			g.mu.Lock()
			g.standing = true
			g.mu.Unlock()
			tell(l.news)
		}
		reap(g.pid)
	}()
	err := <-started
	if err != nil {
		cancel()
	}
	return g, g.pid, err
}

func (g *gatekeeper) place() (at int, home, standing bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return int(g.seat.At.Load()), g.seat.Home.Load() != 0, g.standing
}

// registers: there is one, v.
func (g *gatekeeper) registers() []ptrace.Register {
	return []ptrace.Register{{Name: "v", Value: g.seat.Local.Load()}}
}

func (g *gatekeeper) step() error {
	g.mu.Lock()
	g.standing = false
	g.mu.Unlock()
	return g.seat.Gate.Release()
}

func (g *gatekeeper) goHome() error {
	g.seat.Free.Store(1)
	return g.step()
}

func (g *gatekeeper) release() {
	g.ends()
	<-g.ended
}
