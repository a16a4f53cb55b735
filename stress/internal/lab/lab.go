package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"interlock/shm"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/procfs"
	"interlock/stress/internal/ptrace"
)

// patience is how long anything may take: a hang, and not a machine that has
// a thousand other things to do.
const patience = time.Minute

var errHang = fmt.Errorf("it hangs: it has not come to an end in %v", patience)

// errSpins: nobody is left to give back a lock that the kernel knows nothing of.
var errSpins = errors.New("it would look for ever: who has taken the lock is dead, and nobody knows")

var errClosed = errors.New("there are no processes")

// A Lab is two processes that are moved step by step. It may be used by several
// goroutines.
type Lab struct {
	mu      sync.Mutex
	program *Program
	engine  string
	why     string // why not the other engine
	code    *code
	seg     *shm.Segment
	b       *board
	procs   [2]*proc
	news    chan struct{} // somebody has arrived
	rows    []Row
	bursts  []Burst
}

// New starts the two processes; they stand before their first addition. The engine is
// EngineCPU, EngineOp, or "" for the first of these that works here.
func New(p *Program, engine string) (*Lab, error) {
	l := &Lab{program: p, engine: engine}
	if engine == "" {
		l.engine = EngineCPU
	}
	if l.engine == EngineOp {
		l.why = "as asked for"
	}
	err := l.open()
	if err != nil && engine == "" && (errors.Is(err, ptrace.ErrRefused) || errors.Is(err, ptrace.ErrUnsupported)) {
		l.engine, l.why = EngineOp, err.Error()
		err = l.open()
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// open makes the memory and starts the processes.
func (l *Lab) open() (err error) {
	if l.seg, err = shm.Memfd("interlock-lab", boardSize, shm.Populate); err != nil {
		return err
	}
	l.news, l.rows, l.bursts, l.procs = make(chan struct{}, 1), []Row{}, []Burst{}, [2]*proc{}
	if l.b, err = layBoard(l.seg); err == nil {
		err = l.cast()
	}
	if err != nil {
		l.close()
	}
	return err
}

func (l *Lab) cast() (err error) {
	if l.engine == EngineOp {
		l.code = operations(l.program)
	} else if !ptrace.Supported {
		return ptrace.ErrUnsupported
	} else if l.code, err = instructions(l.program); err != nil {
		return err
	}
	for i := range l.procs {
		p := &proc{name: string(rune('A' + i)), seat: &l.b.Seats[i]}
		if p.stderr, err = newStderr(); err != nil {
			return err
		}
		start := l.startCPU
		if l.engine == EngineOp {
			start = l.startOp
		}
		if p.mover, p.pid, err = start(i, p.stderr); err != nil {
			err = fmt.Errorf("process %s: %w %s", p.name, err, p.complaint())
			p.stderr.Close()
			return err
		}
		l.procs[i] = p
	}
	l.spread()
	return l.settle()
}

// spread gives each process a CPU of its own, if there are as many: at full speed they
// are to run together.
func (l *Lab) spread() {
	var have unix.CPUSet
	if unix.SchedGetaffinity(0, &have) != nil || have.Count() < len(l.procs) {
		return
	}
	cpu := 0
	for _, p := range l.procs {
		for !have.IsSet(cpu) {
			cpu++
		}
		var one unix.CPUSet
		one.Set(cpu)
		procfs.Pin(p.pid, &one)
		cpu++
	}
}

// Close ends the processes.
func (l *Lab) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close()
}

func (l *Lab) close() {
	for _, p := range l.procs {
		if p != nil {
			p.end()
			p.stderr.Close()
		}
	}
	l.procs = [2]*proc{}
	if l.seg != nil {
		_ = l.seg.Close() // its users are dead, and nobody here waits in it
		l.seg, l.b = nil, nil
	}
}

// Reset ends the processes, and starts new ones with another program, or the same.
func (l *Lab) Reset(p *Program) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.close()
	l.program = p
	return l.open()
}

func kill(pid int) { _ = unix.Kill(pid, unix.SIGKILL) }

// end is kill -9, and waits until nothing is left.
func (p *proc) end() {
	if !p.dead {
		p.dead = true
		kill(p.pid)
		p.release()
	}
}

// tell says that there is something new, if that has not been said.
func tell(news chan<- struct{}) {
	select {
	case news <- struct{}{}:
	default:
	}
}

// settle waits until every process stands, or sleeps for the lock.
func (l *Lab) settle() error {
	const soon = 200 * time.Microsecond
	timer := time.NewTimer(soon)
	defer timer.Stop()
	for begin := time.Now(); ; {
		if l.atRest() {
			return nil
		}
		for _, p := range l.procs {
			if !p.dead && procfs.State(p.pid, p.pid) == "Z" {
				return fmt.Errorf("process %s has ended by itself: %s", p.name, p.complaint())
			}
		}
		if time.Since(begin) > patience {
			return errHang
		}
		timer.Reset(soon)
		select {
		case <-l.news:
		case <-timer.C:
		}
	}
}

// atRest says that nobody will move by itself. Whether somebody sleeps is looked at when
// the other stands: else that one might just be waking it up.
func (l *Lab) atRest() bool {
	var away []*proc
	for _, p := range l.procs {
		if _, _, standing := p.place(); !p.dead && !standing {
			away = append(away, p)
		}
	}
	return len(away) == 0 || len(away) == 1 && away[0].sleeps(l.b)
}

// sleeps says that a process sleeps for the lock, and will not wake up by itself.
func (p *proc) sleeps(b *board) bool {
	// Who sleeps for a lock that nobody holds is about to be woken.
	if _, held := b.Lock.Owner(); !held {
		return false
	}
	for range 2 { // who waits looks up now and then
		if p.sleeper(p.wordOf(b)) == 0 {
			return false
		}
		time.Sleep(100 * time.Microsecond)
	}
	_, _, standing := p.place()
	return !standing
}

// wordOf is where a process sees the word of the lock.
func (p *proc) wordOf(b *board) uint64 {
	return p.seat.Base.Load() + arena.Address(&b.Lock) - arena.Address(b)
}

// finished is how many additions p has stored.
func (l *Lab) finished(p *proc) uint64 {
	n := p.seat.Done.Load()
	if at, home, _ := p.place(); !home && at > l.code.store {
		n++
	}
	return n
}

// Burst lets the processes that live finish what they are at, and then add n times each,
// at full speed, together.
func (l *Lab) Burst(ctx context.Context, n int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b == nil {
		return errClosed
	}
	if l.spins() {
		return errSpins
	}
	if err := l.allHome(ctx); err != nil {
		return err
	}
	var living []*proc
	for _, p := range l.procs {
		if !p.dead {
			living = append(living, p)
		}
	}
	before, begin := l.b.N, time.Now()
	l.b.Met.Store(0)
	l.b.Parties.Store(uint32(len(living)))
	for _, p := range living {
		p.seat.Burst.Store(uint64(n))
	}
	for _, p := range living {
		if err := p.goHome(); err != nil {
			return err
		}
	}
	if err := l.settle(); err != nil {
		return err
	}
	want := uint64(n * len(living))
	l.bursts = append(l.bursts, Burst{Of: want, Got: l.b.N - before, Took: time.Since(begin)})
	l.rows = append(l.rows, Row{Text: fmt.Sprintf("%d each at full speed: %d of %d", n, l.b.N-before, want), N: l.b.N})
	return nil
}

// spins says whether somebody would wait for a lock of our own whose taker is dead.
func (l *Lab) spins() bool {
	dead, waits := false, false
	for _, p := range l.procs {
		at, _, _ := p.place()
		dead = dead || p.dead
		waits = waits || !p.dead && at <= l.code.take
	}
	return dead && waits && l.b.Taken != 0
}

// allHome lets everybody finish their addition. Who sleeps for the lock gets it when who
// holds it comes home.
func (l *Lab) allHome(ctx context.Context) error {
	for ctx.Err() == nil {
		away := false
		for _, p := range l.procs {
			if _, home, standing := p.place(); !p.dead && !home {
				away = true
				if standing {
					if err := p.goHome(); err != nil {
						return err
					}
				}
			}
		}
		if !away {
			return nil
		}
		if err := l.settle(); err != nil {
			return err
		}
	}
	return ctx.Err()
}
