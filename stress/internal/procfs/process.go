package procfs

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// A Stat is what anybody may know of a thread.
type Stat struct {
	Name    string // as execve or prctl set it, safe to print
	State   string // R, S, D, T, t, Z, X
	Threads int
	Started time.Time
	CPU     int // the one that it ran on last
}

// ReadStat reads /proc/PID/task/TID/stat.
func ReadStat(pid, tid int) (Stat, error) {
	text, err := os.ReadFile(taskDir(pid) + "/" + strconv.Itoa(tid) + "/stat")
	if err != nil {
		return Stat{}, err
	}
	begin, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if begin < 0 || end < begin {
		return Stat{}, fmt.Errorf("no stat line: %q", text)
	}
	f := strings.Fields(string(text[end+1:]))
	const state, threads, start, cpu = 0, 17, 19, 36 // fields 3, 20, 22 and 39 of proc(5)
	if len(f) <= cpu {
		return Stat{}, fmt.Errorf("no stat line: %q", text)
	}
	s := Stat{Name: Printable(string(text[begin+1 : end])), State: f[state]}
	s.Threads, _ = strconv.Atoi(f[threads])
	s.CPU, _ = strconv.Atoi(f[cpu])
	if ticks, err := strconv.ParseInt(f[start], 10, 64); err == nil {
		s.Started = booted().Add(time.Duration(ticks) * (time.Second / ticksPerSecond))
	}
	return s, nil
}

const ticksPerSecond = 100 // USER_HZ, on all architectures that Go has

// booted is when the clock of start times began.
func booted() time.Time {
	var up unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &up); err != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(up.Nano()))
}

// Printable makes a name that a stranger chose safe to print on a terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// Idle returns for how long a thread has not run on any CPU, not ok if the kernel
// does not tell. It reads the scheduler's own clock, which each CPU has for itself,
// so it asks the CPU that the thread ran on.
func Idle(pid, tid int) (d time.Duration, ok bool) {
	last, cpu, ok := lastRan(taskDir(pid) + "/" + strconv.Itoa(tid))
	if !ok {
		return 0, false
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var mine, there unix.CPUSet
	if unix.SchedGetaffinity(0, &mine) != nil {
		return 0, false
	}
	there.Set(cpu)
	if unix.SchedSetaffinity(0, &there) != nil {
		return 0, false
	}
	defer func() { _ = unix.SchedSetaffinity(0, &mine) }()
	now, _, ok := lastRan("/proc/thread-self")
	return max(0, now-last), ok
}

// lastRan is the scheduler's time when a thread ran last: now, for one that runs.
func lastRan(dir string) (at time.Duration, cpu int, ok bool) {
	text, err := os.ReadFile(dir + "/sched")
	if err != nil {
		return 0, 0, false
	}
	_, rest, ok := strings.Cut(string(text), "se.exec_start")
	_, rest, _ = strings.Cut(rest, ":")
	value, _, _ := strings.Cut(rest, "\n")
	ms, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if !ok || err != nil {
		return 0, 0, false
	}
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return 0, 0, false
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const field = 36
	if len(f) <= field {
		return 0, 0, false
	}
	cpu, err = strconv.Atoi(f[field])
	return time.Duration(ms * 1e6), cpu, err == nil
}

// Status returns a field of a thread's status file, such as "TracerPid"; "" if there
// is none.
func Status(pid, tid int, name string) string {
	text, err := os.ReadFile(taskDir(pid) + "/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return ""
	}
	_, rest, ok := bytes.Cut(text, []byte("\n"+name+":"))
	if !ok {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte("\n"))
	return strings.TrimSpace(string(value))
}

// ProcessOf is the process to which a thread belongs, 0 if there is none.
func ProcessOf(tid int) int {
	n, _ := strconv.Atoi(Status(tid, tid, "Tgid"))
	return n
}

// PIDs lists all processes.
func PIDs() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var list []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			list = append(list, pid)
		}
	}
	return list, nil
}

// TIDs lists a process's threads; none if it is gone.
func TIDs(pid int) []int { return tids(pid) }

// Namespace is the inode number of a process's namespace of a kind, as "pid".
func Namespace(pid int, kind string) (uint64, error) {
	link, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns", kind))
	if err != nil {
		return 0, err
	}
	_, number, _ := strings.Cut(strings.TrimSuffix(link, "]"), "[")
	return strconv.ParseUint(number, 10, 64)
}

// A Mapping is one line of /proc/PID/maps.
type Mapping struct {
	Lo, Hi uint64
	Offset uint64
	Shared bool // stores reach others; a futex here is one of the object
	Write  bool
	Where  string // device and inode, as they stand there
	Path   string
}

// Maps reads a process's mappings. One whose first thread has ended shows them in
// the others.
func Maps(pid int) ([]Mapping, error) {
	list, err := readMaps(filepath.Join("/proc", strconv.Itoa(pid), "maps"))
	if err != nil || len(list) > 0 {
		return list, err
	}
	for _, tid := range tids(pid) {
		if tid == pid {
			continue
		}
		if list, err := readMaps(taskDir(pid) + "/" + strconv.Itoa(tid) + "/maps"); err != nil || len(list) > 0 {
			return list, err
		}
	}
	return nil, nil
}

func readMaps(path string) ([]Mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []Mapping
	r := bufio.NewReader(f)
	for {
		line, err := r.ReadString('\n')
		if m, ok := parseMapping(strings.TrimSuffix(line, "\n")); ok {
			list = append(list, m)
		}
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return list, err
		}
	}
}

// parseMapping understands one line:
//
//	7f0c1a000000-7f0c1a001000 rw-s 00000000 00:1a 1234            /dev/shm/hello
func parseMapping(line string) (m Mapping, ok bool) {
	f := strings.SplitN(line, " ", 6)
	if len(f) < 5 || len(f[1]) != 4 {
		return m, false
	}
	lo, hi, _ := strings.Cut(f[0], "-")
	var err [3]error
	m.Lo, err[0] = strconv.ParseUint(lo, 16, 64)
	m.Hi, err[1] = strconv.ParseUint(hi, 16, 64)
	m.Offset, err[2] = strconv.ParseUint(f[2], 16, 64)
	m.Shared, m.Write = f[1][3] == 's', f[1][1] == 'w'
	m.Where = f[3] + " " + f[4]
	if len(f) == 6 {
		m.Path = strings.TrimLeft(f[5], " ")
	}
	return m, err == [3]error{} && m.Lo < m.Hi
}

// FrozenBy is the cgroup that has frozen a process, "" if none has, and what ends it.
func FrozenBy(pid int) (path, thaw string) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return "", ""
	}
	for _, group := range strings.Split(string(text), "\n") {
		f := strings.SplitN(group, ":", 3)
		if len(f) < 3 {
			continue
		}
		switch {
		case f[1] == "freezer": // version 1
			dir := filepath.Join("/sys/fs/cgroup/freezer", f[2])
			if line(dir+"/freezer.state") != "THAWED" && line(dir+"/freezer.state") != "?" {
				return dir, "echo THAWED > " + dir + "/freezer.state"
			}
		case f[1] == "": // version 2, also beside the first
			for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
				dir := filepath.Join(root, f[2])
				if strings.Contains(line(dir+"/cgroup.events"), "frozen 1") {
					return dir, "echo 0 > " + dir + "/cgroup.freeze"
				}
			}
		}
	}
	return "", ""
}

// Wchan is where in the kernel a thread sleeps, "" if that is not shown.
func Wchan(pid, tid int) string {
	if w := line(taskDir(pid) + "/" + strconv.Itoa(tid) + "/wchan"); w != "0" && w != "?" {
		return w
	}
	return ""
}
