package lab

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"interlock/shm"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/ptrace"
	"interlock/stress/internal/report"
)

// WorkerCommand is the first argument of a process of the lab.
const WorkerCommand = "_lab"

// inherited is the descriptor of the board.
const inherited = 3

// A worker is a process of the lab, as it sees itself.
type worker struct {
	b     *board
	seat  *seat
	gated bool // it is moved by its gate, and not by a tracer
}

// Work is the main function of a process: args are PROGRAM ENGINE SEAT.
func Work(args []string) int {
	if len(args) != 3 || Find(args[0]) == nil || (args[1] != EngineCPU && args[1] != EngineOp) || (args[2] != "0" && args[2] != "1") {
		fmt.Fprintf(os.Stderr, "stress: %s is how stress demo starts its processes; it is of no use by hand\n", WorkerCommand)
		return int(report.Usage)
	}
	place, _ := strconv.Atoi(args[2])
	w, err := enter(Find(args[0]), args[1] == EngineOp, place)
	if err != nil {
		fmt.Fprintf(os.Stderr, "stress: %v\n", err)
		return int(report.Setup)
	}
	w.live(Find(args[0]))
	return 0
}

// enter goes as far as the gate.
func enter(p *Program, gated bool, place int) (*worker, error) {
	unix.CloseOnExec(inherited)
	seg, err := shm.FromFile(os.NewFile(inherited, "interlock-lab"), shm.Populate)
	if err != nil {
		return nil, err
	}
	b, err := layBoard(seg)
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread() // who is moved is this thread
	ptrace.GrowStack(64)
	w := &worker{b: b, seat: &b.Seats[place], gated: gated}
	b.Lock.OnOwnerDeath(w.repair)
	w.seat.Base.Store(arena.Address(b))
	w.seat.Code.Store(uint64(p.entry()))
	w.seat.Ready.Store(1)
	if !gated {
		_ = w.seat.Gate.Acquire(context.Background()) // until it is traced
	}
	return w, nil
}

// live adds, over and over, until it is killed.
func (w *worker) live(p *Program) {
	for {
		w.home()
		if n := w.seat.Burst.Load(); n > 0 {
			w.meet()
			for range n {
				p.run(w.b)
			}
			w.seat.Burst.Store(0)
			w.seat.Done.Add(n)
			continue
		}
		if w.gated {
			p.ops(w)
		} else {
			p.run(w.b)
		}
		w.seat.Done.Add(1)
	}
}

// home is where it stands between two additions.
func (w *worker) home() {
	home()
	if w.gated {
		w.seat.Free.Store(0)
		w.seat.Home.Store(1)
		w.turn(0, 0)
		w.seat.Home.Store(0)
	}
}

// turn stands before operation op until it may go on.
func (w *worker) turn(op uint32, v uint64) {
	if w.seat.Free.Load() != 0 {
		return
	}
	w.seat.At.Store(op)
	w.seat.Local.Store(v)
	_ = w.seat.Arrived.Release() // one permit at most is ever there
	_ = w.seat.Gate.Acquire(context.Background())
}

// meet waits for the others: nobody has a start in a burst.
func (w *worker) meet() {
	w.b.Met.Add(1)
	for turn := 1; w.b.Met.Load() < w.b.Parties.Load(); turn++ {
		if turn%1024 != 0 {
			continue
		}
		_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // there may be one CPU only
	}
}

// repair: one word cannot be half written.
func (w *worker) repair(pid int) error {
	w.b.Dead.Store(uint32(pid))
	w.b.Mender.Store(uint32(os.Getpid()))
	w.b.Repairs.Add(1)
	return nil
}
