package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"interlock/shm"
	"interlock/stress/internal/arena"
)

// Config says how long and how often to measure.
type Config struct {
	Duration time.Duration // each subject of a comparison, cut into slices
	Rounds   int           // into how many
	Kills    int           // for the time from kill(2) to recovery
	Starts   int           // fresh processes, for the time of the first lock
}

// Default is what the table is made with, Short what shows only that all of it
// works.
var (
	Default = Config{Duration: time.Second, Rounds: 15, Kills: 1000, Starts: 200}
	Short   = Config{Duration: 30 * time.Millisecond, Rounds: 3, Kills: 4, Starts: 4}
)

// Rig is what a running comparison has at its disposal. What it hands out lasts
// until the comparison is over.
type Rig struct {
	Config
	ctx     context.Context
	line    string
	dir     string // for programs and FIFOs
	tools   *tools
	procs   []*proc
	closing []func()
	emit    func(*Row)
}

// add takes a row into the table.
func (r *Rig) add(row *Row) error {
	row.Line = r.line
	if row.Skipped == "" {
		if err := row.check(); err != nil {
			return err
		}
	}
	r.emit(row)
	return nil
}

// without takes rows into the table that cannot be measured, if that is what err
// says; any other error it returns.
func (r *Rig) without(err error, rows ...*Row) error {
	var why skip
	if !errors.As(err, &why) {
		return err
	}
	for _, row := range rows {
		row.Skipped = why.why
		if err := r.add(row); err != nil {
			return err
		}
	}
	return nil
}

// later has f run when the comparison is over.
func (r *Rig) later(f func()) { r.closing = append(r.closing, f) }

// dismiss ends all processes and gives back everything.
func (r *Rig) dismiss() {
	for _, p := range r.procs {
		p.end()
	}
	for i := len(r.closing) - 1; i >= 0; i-- {
		r.closing[i]()
	}
	r.procs, r.closing = nil, nil
}

// ground is memory that the processes of a comparison share.
type ground[T any] struct {
	at   *T
	mem  []byte // T and what lies behind it
	file *os.File
}

// memory makes a ground with room for a T and more bytes behind it.
func memory[T any](r *Rig, more int) (*ground[T], error) {
	seg, err := shm.Memfd("interlock-bench", int64(arena.SizeOf[T]()+more), shm.Populate)
	if err != nil {
		return nil, err
	}
	r.later(func() { _ = seg.Close() }) // no worker is left, and nothing is held
	t, err := shm.At[T](seg.Bytes(), 0)
	return &ground[T]{t, seg.Bytes(), seg.File()}, err
}

// worker starts this program in a role.
func (r *Rig) worker(role string, args []string, files ...*os.File) (*proc, error) {
	// Not the path of the executable: it may have been replaced meanwhile.
	argv := append([]string{"/proc/self/exe", WorkerCommand, role}, args...)
	return r.keep(start(role, argv, files))
}

// onOneCPU starts processes that have one CPU from the beginning, so that they know
// it. (Who is pinned later still believes in the others.)
func (r *Rig) onOneCPU(start func() ([]*proc, error)) ([]*proc, error) {
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, err
	}
	only.Set(cpus()[0])
	if err := unix.SchedSetaffinity(0, &only); err != nil { // this thread's, which Run has locked us to
		return nil, err
	}
	list, err := start()
	return list, errors.Join(err, unix.SchedSetaffinity(0, &before))
}

// program starts another program.
func (r *Rig) program(path string, args []string, files ...*os.File) (*proc, error) {
	return r.keep(start(filepath.Base(path)+" "+args[0], append([]string{path}, args...), files))
}

// bury waits for a process that has been killed or is about to end.
func (r *Rig) bury(p *proc) {
	p.end()
	r.procs = slices.DeleteFunc(r.procs, func(q *proc) bool { return p == q })
}

func (r *Rig) keep(p *proc, err error) (*proc, error) {
	if err == nil {
		r.procs = append(r.procs, p)
	}
	return p, err
}

// workers starts n processes in a role.
func (r *Rig) workers(n int, role string, args []string, files ...*os.File) ([]*proc, error) {
	var all []*proc
	for range n {
		p, err := r.worker(role, args, files...)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// programs is the same with another program.
func (r *Rig) programs(n int, path string, args []string, files ...*os.File) ([]*proc, error) {
	var all []*proc
	for range n {
		p, err := r.program(path, args, files...)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// one is the only process of a list.
func one(list []*proc, err error) (*proc, error) {
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// cpus are the CPUs that this process may use.
func cpus() (list []int) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return []int{0}
	}
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			list = append(list, cpu)
		}
	}
	return list
}

// skip is the reason for which a row has no figures.
type skip struct{ why string }

func (s skip) Error() string { return "skipped: " + s.why }

// twoCPUs is the skip for what needs two CPUs.
func twoCPUs() error {
	if len(cpus()) < 2 {
		return skip{"needs two CPUs, here is one"}
	}
	return nil
}
