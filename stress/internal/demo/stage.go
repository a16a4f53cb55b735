package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"interlock/shm"
	"interlock/stress/internal/procfs"
)

// WorkerCommand is the first argument of a process of a demo.
const WorkerCommand = "_demo"

// patience is how long a run may take. None takes a second where nobody disturbs it,
// so this is a hang.
var patience = 30 * time.Second

// errHang: a run did not come to its end.
var errHang = errors.New("it hangs")

// ground is the size of the memory that the processes share; what a demo lays over it
// begins at offset floor.
const (
	ground = 64 << 10
	floor  = 1 << 10
	most   = 32 // processes
)

// header is what lies before it.
type header struct {
	Parties atomic.Uint32 // how many there are
	Ready   atomic.Uint32 // how many have come to the start
	Stage   atomic.Uint32 // how far they are, where the supervisor has to know
	_       uint32
	Elapsed [most]atomic.Int64 // ns of each
	Ops     [most]atomic.Int64
}

// A Stage is one run: the memory and the processes that share it.
type Stage struct {
	ctx     context.Context
	demo    *Demo
	version string
	seg     *shm.Segment
	head    *header
	procs   []*proc
}

// proc is one process of a run.
type proc struct {
	cmd    *exec.Cmd
	hold   *os.File // its standard input: while it is open, Actor.pause goes on
	stderr strings.Builder
	done   chan struct{}
	killed bool
}

func newStage(ctx context.Context, d *Demo, version string) (*Stage, error) {
	seg, err := shm.Memfd("interlock-demo", ground, shm.Populate)
	if err != nil {
		return nil, err
	}
	head, err := shm.At[header](seg.Bytes(), 0)
	return &Stage{ctx: ctx, demo: d, version: version, seg: seg, head: head}, err
}

// at lays a T over the memory.
func at[T any](st *Stage) *T {
	t, err := shm.At[T](st.seg.Bytes(), floor)
	if err != nil {
		panic(err) // ours, and too large
	}
	return t
}

// cast starts a process for each role. They begin together: see Actor.begin.
func (st *Stage) cast(roles ...string) error {
	st.head.Parties.Store(uint32(len(st.procs) + len(roles)))
	for _, role := range roles {
		if err := st.start(role, nil); err != nil {
			return err
		}
	}
	return nil
}

// start starts one process. The calling goroutine is locked to its thread: the kernel
// ends a process with the thread that forked it.
func (st *Stage) start(role string, change func(*exec.Cmd)) error {
	// Not the path of the executable: it may have been replaced meanwhile.
	cmd := exec.Command("/proc/self/exe", WorkerCommand, st.demo.Name, role, st.version, strconv.Itoa(len(st.procs)))
	p := &proc{cmd: cmd, done: make(chan struct{})}
	in, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	cmd.Stdin, cmd.Stderr, p.hold = in, &p.stderr, hold
	cmd.ExtraFiles = []*os.File{st.seg.File()}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // Ctrl-C is for the supervisor alone
	}
	if change != nil {
		change(cmd)
	}
	if err := cmd.Start(); err != nil {
		hold.Close()
		return fmt.Errorf("starting a process: %w", err)
	}
	st.procs = append(st.procs, p)
	go func() {
		_ = cmd.Wait()
		close(p.done)
	}()
	return nil
}

func (p *proc) pid() int { return p.cmd.Process.Pid }

// gone says whether it has ended.
func (p *proc) gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill is kill -9, and waits for the end.
func (p *proc) kill() {
	p.killed = true
	_ = p.cmd.Process.Kill()
	<-p.done
}

// until waits for what the processes bring about. It looks from outside, as nobody
// tells it: whoever did could not be the subject of the demo.
func (st *Stage) until(what string, cond func() bool) error {
	for limit := time.Now().Add(patience); ; time.Sleep(200 * time.Microsecond) {
		if cond() {
			return nil
		}
		for _, p := range st.procs {
			if err := p.fault(); err != nil {
				return err
			}
		}
		if err := st.ctx.Err(); err != nil {
			return err
		}
		if time.Now().After(limit) {
			return fmt.Errorf("%w: for %v it has not come to this: %s", errHang, patience, what)
		}
	}
}

// fault is why a process ended that should not have, nil if none of it is so.
func (p *proc) fault() error {
	if !p.gone() || p.killed || p.cmd.ProcessState.Success() {
		return nil
	}
	return fmt.Errorf("process %d: %v\n%s", p.pid(), p.cmd.ProcessState, strings.TrimSpace(p.stderr.String()))
}

// finish waits for the end of all processes.
func (st *Stage) finish() error {
	return st.until("all processes have ended", func() bool {
		for _, p := range st.procs {
			if !p.gone() || p.fault() != nil {
				return false
			}
		}
		return true
	})
}

// end kills those that are still at work, and waits for their end.
func (st *Stage) end() {
	for _, p := range st.procs {
		if !p.gone() {
			p.kill()
		}
	}
}

// dismiss ends whoever is left, and gives everything back.
func (st *Stage) dismiss() {
	st.end()
	for _, p := range st.procs {
		p.hold.Close()
	}
	_ = st.seg.Close() // all users are dead, and the supervisor holds nothing
}

// result has what every run has.
func (st *Stage) result() *Result {
	r := &Result{}
	var ns, ops int64
	for i, p := range st.procs {
		r.PIDs = append(r.PIDs, p.pid())
		ns = max(ns, st.head.Elapsed[i].Load())
		ops += st.head.Ops[i].Load()
	}
	if ops > 0 {
		r.Ns = float64(ns) / float64(ops)
	}
	return r
}

// asleep says whether a thread of p sleeps in the kernel on a word that is shared.
func (p *proc) asleep() bool {
	for _, tid := range procfs.TIDs(p.pid()) {
		if words, err := procfs.AsleepOn(p.pid(), tid); err == nil && len(words) > 0 {
			return true
		}
	}
	return false
}

// cpus is the number of CPUs that this process, and so its children, may use.
func cpus() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 1
	}
	return set.Count()
}

// sleepsOn says that p sleeps on a shared word, and stays asleep: it is looked at
// several times.
func (p *proc) sleepsOn() bool {
	for range 5 {
		if !p.asleep() {
			return false
		}
		time.Sleep(100 * time.Microsecond)
	}
	return true
}

// monotonic is a clock that all processes have in common.
func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // there is no machine without it
	return t.Nano()
}
