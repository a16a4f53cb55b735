package demo

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/leftover"
)

// badge is what an owner leaves beside its lock.
type badge struct {
	PID     atomic.Int64
	Start   atomic.Uint64 // in clock ticks since boot
	Dead    atomic.Int64  // the owner's pid, when it is dead
	Other   atomic.Int64  // the stranger's
	Alive   atomic.Uint32 // what the recovery concludes of the owner
	Refused [64]byte
}

var pidReuse = &Demo{
	Name:  "pid-reuse",
	Title: "a dead owner that answers",
	Live:  "It needs a PID namespace of its own, to get at a number twice without starting millions of processes: root, or unprivileged user namespaces.",
	Story: `A process takes a lock, writes its pid beside it, and is killed. Later, another process, which has nothing to do with it, is given
the same pid by the kernel. Then a recovery asks: is the owner alive?`,
	Quiz: Quiz{
		Question: "What does kill(pid, 0) say?",
		Choices:  []string{"no such process: the owner is dead", "it is alive", "it depends on the signal"},
		Right:    1,
		Because:  "A pid is a number that is used again.",
	},
	Broken: Version{Name: "bare pid", Shows: []string{"aliveByPID"}},
	Fixes:  []Version{{Name: "pid and start time", Shows: []string{"aliveByStart"}, About: "The kernel says when a process started: the same number with another start is somebody else."}},
	Schedule: Schedule{
		Columns: []string{"the owner", "others", "the lock"},
		Rows: [][]string{
			{"pid 47 locks", "", "held by 47"},
			{"is killed", "", "held by 47"},
			{"", "a stranger starts: pid 47", "held by 47"},
			{"", "kill(47, 0): alive", "held by 47, for ever"},
		},
	},
	Why: `Pids go round: at 32,768 or 4,194,304, in a container from small numbers at each start. With a bare pid a recovery waits for a
stranger, or worse, kills it. In another PID namespace the number means nothing at all. And between the question and what is done about
the answer the process can end: what is needed is a handle (pidfd), or that the kernel itself marks the lock.`,
	Use: `mutex.Mutex: the kernel marks its word when the owner dies (a robust list), and it carries the owner's start time and PID
namespace for the case that the kernel could not.`,
	roles: roles{"namespace": inNamespace, "own": ownLock, "stranger": idle},
	try:   tryPIDReuse,
}

func aliveByPID(s *badge) bool {
	pid := int(s.PID.Load())
	return unix.Kill(pid, 0) == nil
}

func aliveByStart(s *badge) bool {
	pid := int(s.PID.Load())
	return unix.Kill(pid, 0) == nil && startTime(pid) == s.Start.Load()
}

// startTime is when a process started, in ticks of 10 ms; 0 if there is none.
var startTime = leftover.StartTime

// nextTick waits until who starts has another start time than the owner. (A number
// that went all the way round has taken longer; here it is forced to come at once.)
func nextTick(owner uint64) {
	for {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil || uint64(t.Nano()/1e7) > owner {
			return
		}
		yield()
	}
}

func ownLock(a *Actor) error {
	s := see[badge](a)
	s.Start.Store(startTime(os.Getpid()))
	s.PID.Store(int64(os.Getpid()))
	a.reach(1)
	a.pause() // and is killed here
	return nil
}

func idle(a *Actor) error {
	a.pause()
	return nil
}

// inNamespace is process 1 of a PID namespace.
func inNamespace(a *Actor) error {
	s := see[badge](a)
	if err := ownProc(); err != nil {
		return a.refuse(s, err)
	}
	owner, hold, err := a.child("own")
	if err != nil {
		return err
	}
	defer hold.Close()
	for a.head.Stage.Load() == 0 {
		yield()
	}
	_ = owner.Process.Kill()
	_ = owner.Wait()
	s.Dead.Store(s.PID.Load())
	nextTick(s.Start.Load())
	if err := a.untilSamePID(s); err != nil {
		return a.refuse(s, err)
	}
	alive := aliveByPID
	if a.version == "pid and start time" {
		alive = aliveByStart
	}
	if alive(s) {
		s.Alive.Store(1)
	}
	return nil
}

// ownProc mounts the /proc of this namespace over that of the machine, for itself.
func ownProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount / private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// untilSamePID starts processes until one has the pid of the dead owner. The kernel
// gives the number after the last; a thread may snatch it away, hence the loop.
func (a *Actor) untilSamePID(s *badge) error {
	want := int(s.Dead.Load())
	for range 1000 {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(want-1)), 0); err != nil {
			return err
		}
		cmd, hold, err := a.child("stranger")
		if err != nil {
			return err
		}
		if cmd.Process.Pid == want {
			s.Other.Store(int64(want)) // it ends with this process, whose namespace it is
			return nil
		}
		hold.Close()
		_ = cmd.Wait()
	}
	return fmt.Errorf("pid %d was not given again in 1,000 processes", want)
}

// child starts a process inside the namespace.
func (a *Actor) child(role string) (*exec.Cmd, *os.File, error) {
	in, hold, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	cmd := exec.Command("/proc/self/exe", WorkerCommand, pidReuseName, role, a.version, "1")
	cmd.Stdin, cmd.Stderr = in, os.Stderr
	cmd.ExtraFiles = []*os.File{a.seg.File()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, hold, cmd.Start()
}

const pidReuseName = "pid-reuse"

// refuse leaves word of why it cannot be done here.
func (a *Actor) refuse(s *badge, err error) error {
	text := err.Error()
	binary.NativeEndian.PutUint64(s.Refused[:], uint64(min(len(text), len(s.Refused)-8)))
	copy(s.Refused[8:], text)
	return nil
}

func (s *badge) refused() string {
	return string(s.Refused[8:][:binary.NativeEndian.Uint64(s.Refused[:])])
}

func tryPIDReuse(st *Stage) (*Result, error) {
	s := at[badge](st)
	st.head.Parties.Store(1)
	if err := st.start("namespace", isolated(syscall.CLONE_NEWPID)); err != nil {
		return nil, refusal{"No PID namespace is to be had: " + err.Error() + ". Run it as root, or allow unprivileged user namespaces."}
	}
	if err := st.finish(); err != nil {
		return nil, err
	}
	if why := s.refused(); why != "" {
		return nil, refusal{"In the PID namespace: " + why}
	}
	r := &Result{}
	r.fact("the owner was", fmt.Sprintf("pid %d of the namespace, and is dead", s.Dead.Load()))
	r.fact("a stranger is", fmt.Sprintf("pid %d", s.Other.Load()))
	r.fact("the recovery says", []string{"the owner is dead", "the owner is alive"}[s.Alive.Load()])
	r.Wrong = int64(s.Alive.Load())
	return r, nil
}

// isolated has a process start in namespaces of its own, in which it is root.
func isolated(more uintptr) func(cmd *exec.Cmd) {
	return func(cmd *exec.Cmd) {
		a := cmd.SysProcAttr
		a.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | more
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
}
