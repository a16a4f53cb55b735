package demo

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"interlock/shm"
	"interlock/stress/internal/report"
)

// An Actor is a process of a demo, as it sees itself.
type Actor struct {
	version string
	me      int // 0 is A, 1 is B
	seg     *shm.Segment
	head    *header
}

// inherited is the descriptor of the memory: the first of exec.Cmd.ExtraFiles.
const inherited = 3

// oneCPU says that all processes of the demo share one CPU.
var oneCPU bool

// window marks where the other process must not come in. It does nothing, except on
// one CPU: there it lets the other in, every 64th time. (The kernel does so by itself,
// but only every few milliseconds, and mostly elsewhere.)
func window(i int) {
	if oneCPU && i%64 == 0 {
		yield()
	}
}

// yield is sched_yield(2).
func yield() { _, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// relax is for loops that wait for another process: on one CPU, that must run.
func relax(turn int) {
	if oneCPU || turn%1024 == 1023 {
		yield()
	}
}

// load, store and add are one instruction each. Without noinline the compiler would
// make one of them all (P-G15).
//
//go:noinline
func load(p *uint64) uint64 { return *p }

//go:noinline
func store(p *uint64, v uint64) { *p = v }

// Work is the main function of a process: args are DEMO ROLE VERSION NUMBER.
func Work(args []string) int {
	if len(args) != 4 || !known(args[0], args[1], args[2]) {
		fmt.Fprintf(os.Stderr, "stress: %s is how stress demo starts its processes; it is of no use by hand\n", WorkerCommand)
		return int(report.Usage)
	}
	if err := work(args); err != nil {
		fmt.Fprintf(os.Stderr, "stress: %s: %v\n", args[1], err)
		return int(report.Setup)
	}
	return 0
}

func known(name, role, version string) bool {
	d := Find(name)
	if d == nil || d.roles[role] == nil {
		return false
	}
	for _, v := range d.Fixes {
		if v.Name == version {
			return true
		}
	}
	return d.Broken.Name == version
}

func work(args []string) error {
	seg, err := shm.FromFile(os.NewFile(inherited, "interlock-demo"), shm.Populate)
	if err != nil {
		return err
	}
	a := &Actor{version: args[2], seg: seg}
	if a.me, err = strconv.Atoi(args[3]); err != nil {
		return err
	}
	if a.me < 0 || a.me >= most {
		return fmt.Errorf("process %d of at most %d", a.me, most)
	}
	if a.head, err = shm.At[header](seg.Bytes(), 0); err != nil {
		return err
	}
	oneCPU = cpus() == 1
	runtime.LockOSThread() // what yields is this thread
	return Find(args[0]).roles[args[1]](a)
}

// see lays a T over the memory, where at has it.
func see[T any](a *Actor) *T {
	t, err := shm.At[T](a.seg.Bytes(), floor)
	if err != nil {
		panic(err) // ours, and too large
	}
	return t
}

// begin waits until all are there: nobody has a start.
func (a *Actor) begin() {
	a.head.Ready.Add(1)
	for turn := 0; a.head.Ready.Load() < a.head.Parties.Load(); turn++ {
		relax(turn)
	}
}

// timed runs f, which does n operations, together with the others, and writes down
// how long it took.
func (a *Actor) timed(n int, f func()) {
	a.begin()
	start := time.Now()
	f()
	a.head.Elapsed[a.me].Store(int64(time.Since(start)))
	a.head.Ops[a.me].Store(int64(n))
}

// pin keeps this process's thread on one of its CPUs, counted round.
func pin(n int) error {
	var have, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &have); err != nil {
		return err
	}
	n %= have.Count()
	for cpu := range len(have) * 64 {
		if have.IsSet(cpu) {
			if n == 0 {
				one.Set(cpu)
				break
			}
			n--
		}
	}
	return unix.SchedSetaffinity(0, &one)
}

// pause goes no further, until the supervisor ends it or itself.
func (a *Actor) pause() { _, _ = io.Copy(io.Discard, os.Stdin) }

// reach tells the supervisor how far it is.
func (a *Actor) reach(stage uint32) { a.head.Stage.Store(stage) }

func (a *Actor) pid() int { return os.Getpid() }
