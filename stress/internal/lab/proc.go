package lab

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/procfs"
	"interlock/stress/internal/ptrace"
)

// The engines: see doc.go.
const (
	EngineCPU = "cpu"
	EngineOp  = "op"
)

// A mover moves one process. Its methods do not wait: the process has come to where it
// was sent when it stands.
type mover interface {
	place() (at int, home, standing bool) // the step that it stands before, or is in
	step() error                          // one step
	goHome() error                        // to the end of this addition; and, from home, a burst
	registers() []ptrace.Register
	release() // it has been killed: nothing of it is left when this returns
}

// A proc is one of the two processes, seen from here.
type proc struct {
	mover
	name   string
	pid    int
	seat   *seat
	stderr *os.File
	dead   bool
}

// start starts a process. The calling goroutine is locked to its thread for as long as
// the process lives: the kernel ends a child with the thread that forked it.
func (l *Lab) start(place int, stderr *os.File) (pid int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	env := append(os.Environ(), "GODEBUG=asyncpreemptoff=1", "GOGC=off", "GOMAXPROCS=2") // what nobody asked for does not happen
	// Not the path of the executable: it may have been replaced meanwhile.
	p, err := os.StartProcess("/proc/self/exe", []string{"stress", WorkerCommand, l.program.Name, l.engine, strconv.Itoa(place)}, &os.ProcAttr{
		Env:   env,
		Files: []*os.File{null, null, stderr, l.seg.File()},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}, // Ctrl-C is not for them
	})
	if err != nil {
		return 0, fmt.Errorf("starting a process: %w", err)
	}
	pid = p.Pid
	_ = p.Release() // it is reaped by its number
	return pid, nil
}

// awaitReady waits until a process has come to its gate.
func awaitReady(pid int, s *seat, want uintptr) error {
	for begin := time.Now(); s.Ready.Load() == 0; time.Sleep(100 * time.Microsecond) {
		if st := procfs.State(pid, pid); st == "Z" || st == "?" {
			return errors.New("it has ended")
		}
		if time.Since(begin) > patience {
			return errHang
		}
	}
	if s.Code.Load() != uint64(want) {
		return errors.New("this program is not at the same addresses in each process: build it without -buildmode=pie")
	}
	return nil
}

// reap waits until a process that was killed has ended.
func reap(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, unix.WALL, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// complaint is what a process has written to standard error.
func (p *proc) complaint() string {
	text := make([]byte, 2048)
	n, _ := p.stderr.ReadAt(text, 0)
	return strings.TrimSpace(string(text[:n]))
}

func newStderr() (*os.File, error) {
	fd, err := unix.MemfdCreate("interlock-lab-stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("lab: memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), "stderr"), nil
}

// sleeper is the thread of p that sleeps in the kernel for the lock, 0 if none does.
func (p *proc) sleeper(word uint64) int {
	for _, tid := range procfs.TIDs(p.pid) {
		words, err := procfs.AsleepOn(p.pid, tid)
		if err != nil {
			continue
		}
		for _, w := range words {
			if w == word {
				return tid
			}
		}
	}
	return 0
}
