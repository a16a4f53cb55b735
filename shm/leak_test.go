//go:build amd64 || arm64

package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// T73, where something fails. What must hold for each call of the package, when
// the n-th system call in it fails, for every n:
//   - it returns, with an error or, where the failure does not matter, without;
//   - afterwards this process has the descriptors and mappings that it had, and
//     nothing new has a name, temporary or final, or is a System V segment;
//   - an interrupted system call is made again: nobody hears of it.
//
// Exempt is what the failure itself is: munmap and shmdt leave a mapping, unlink
// a name, and IPC_RMID a segment.

type leak struct {
	what string
	do   func(dir string) (*Segment, error)
}

// leaking are the calls, each with the Close that belongs to it; leak_more_test.go
// has those for which there is more to set up.
var leaking = []leak{
	{"Create", func(string) (*Segment, error) { return Create("new", 8192) }},
	{"Open", func(string) (*Segment, error) { return Open("old") }},
	{"OpenOrCreate, new", func(string) (*Segment, error) { return OpenOrCreate(bg, "new", 8192, nil) }},
	{"OpenOrCreate, old", func(string) (*Segment, error) { return OpenOrCreate(bg, "old", 8192, nil) }},
	{"OpenOrCreate, init fails", func(string) (*Segment, error) {
		return OpenOrCreate(bg, "new", 8192, func(*Segment) error { return errFlaky })
	}},
	{"Share, new", func(string) (*Segment, error) { _, s, err := Share[shared](bg, "new", nil); return s, err }},
	{"Share, old", func(string) (*Segment, error) { _, s, err := Share[shared](bg, "typed", nil); return s, err }},
	{"Share, another T", func(string) (*Segment, error) { _, s, err := Share[uint64](bg, "typed", nil); return s, err }},
	{"OpenFile, new", func(dir string) (*Segment, error) { return OpenFile(filepath.Join(dir, "new"), 8192, CreateFile) }},
	{"OpenFile, old", func(dir string) (*Segment, error) { return OpenFile(filepath.Join(dir, "old"), 8192) }},
	{"OpenFile, another size", func(dir string) (*Segment, error) { return OpenFile(filepath.Join(dir, "old"), 8193) }},
	{"OpenOrCreate, lock planted", func(string) (*Segment, error) { return OpenOrCreate(bg, "barred", 8192, nil) }},
	{"Memfd", func(string) (*Segment, error) { return Memfd("new", 8192) }},
	{"FromFile", func(string) (*Segment, error) { return FromFile(inherited) }},
	{"Open and Remove", func(string) (*Segment, error) {
		s, err := OpenOrCreate(bg, "new", 8192, nil)
		return s, errors.Join(err, Remove("new"))
	}},
	{"Create, populated and locked", func(string) (*Segment, error) { return Create("new", 8192, Populate, Mlock) }},
	{large, func(string) (*Segment, error) { return Memfd("new", piece+1) }},
}

// large asks the system how much memory there is; it takes its time.
const large = "Memfd, large"

// mayFail are the calls that return an error also if no system call fails.
var mayFail = map[string]error{"OpenOrCreate, init fails": errFlaky, "Share, another T": ErrLayout,
	"OpenFile, another size": ErrTruncated, "OpenOrCreate, lock planted": fs.ErrInvalid,
	"SysVCreate, taken": ErrExist, "SysVCreate, address in use": ErrAddress,
	"FromFile, not sealed": ErrUnsealed, "Receive, not sealed": ErrUnsealed}

// inherited is what FromFile gets.
var inherited *os.File

// leakControl is how test and child speak while the child is traced.
type leakControl struct {
	What   atomic.Uint32 // what to do next; len(leaking): no more
	Failed atomic.Uint32 // the number of the system call that failed; none: 1<<31
	Arg    atomic.Uint32 // its second argument
	Errno  atomic.Uint32
}

// failed tells what failed, and whether that leaves what it had to take away.
func (c *leakControl) failed() (nr int, mapping, name, segment bool) {
	nr = int(c.Failed.Load())
	return nr, nr == unix.SYS_MUNMAP || nr == unix.SYS_SHMDT, nr == unix.SYS_UNLINKAT,
		nr == unix.SYS_SHMCTL && c.Arg.Load() == unix.IPC_RMID
}

const noCall = 1 << 31

func init() {
	// arg: directory, "notmp", two keys; descriptor 3 is the leakControl
	children["leaker"] = func(arg []string) error {
		shmDir = arg[0]
		noTmpfile = arg[1] == "notmp"
		ctl, err := FromFile(os.NewFile(3, "control"))
		if err != nil {
			return err
		}
		c, err := At[leakControl](ctl.Bytes(), 0)
		if err != nil {
			return err
		}
		s1, e1 := Create("old", 8192)
		_, s2, e2 := Share[shared](bg, "typed", nil)
		m, e3 := Memfd("inherited", 8192)
		e4 := os.Mkdir(filepath.Join(shmDir, lockName("barred")), 0o700)
		if err := errors.Join(e1, e2, e3, e4, s1.Close(), s2.Close()); err != nil {
			return err
		}
		inherited = m.File()
		if err := setUpMore(arg[2:]); err != nil {
			return err
		}
		// The collector would close what is forgotten, and hide it.
		debug.SetGCPercent(-1)
		return underTrace(func() error {
			leakOnce(c, arg[0]) // the runtime gets what it keeps
			var faults []error
			for before := holdings(); int(c.What.Load()) < len(leaking); {
				if err := leakOnce(c, arg[0]); err != nil {
					faults = append(faults, err)
				}
				after := holdings()
				if _, mapping, _, _ := c.failed(); mapping { // and it may hold a segment
					before.maps, before.segments = after.maps, after.segments
				}
				if after != before {
					faults = append(faults, fmt.Errorf("%s fails with %v: before %+v, after %+v",
						callName(sysCall{nr: int(c.Failed.Load())}), unix.Errno(c.Errno.Load()), before, after))
					before = after
				}
				if len(faults) > 5 {
					break
				}
			}
			return errors.Join(faults...)
		})
	}
}

// leakOnce does one thing, with what the test lets fail in it, and clears away
// what may be there after it.
func leakOnce(c *leakControl, dir string) error {
	call := leaking[c.What.Load()]
	c.Failed.Store(noCall)
	mark(1)
	s, err := call.do(dir)
	if s != nil {
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
	}
	mark(2)
	drain(sockets[1])
	failed, leftMapping, leftName, _ := c.failed()
	errno := unix.Errno(c.Errno.Load())
	where := fmt.Sprintf("%s: %s fails with %v: ", call.what, callName(sysCall{nr: failed}), errno)
	if leftMapping && err == nil {
		return errors.New(where + "Close says nothing")
	}
	if errno == unix.EINTR || failed == noCall {
		if want := mayFail[call.what]; !errors.Is(err, want) {
			return fmt.Errorf("%s%w", where, err)
		}
	}
	closedBadly := leftMapping || failed == unix.SYS_CLOSE // after it was made
	madeIt := err == nil && strings.HasSuffix(call.what, "new") || strings.HasPrefix(call.what, "Create")
	if removed := Remove("new"); removed == nil && !madeIt && !closedBadly && !leftName {
		return fmt.Errorf("%sit says %w, and the name is there", where, err)
	}
	if segment := removeNewSegments(c, strings.HasPrefix(call.what, "SysVCreate") && (err == nil || closedBadly)); segment != "" {
		return fmt.Errorf("%sit says %w, and there is %s", where, err, segment)
	}
	for _, name := range dirNames(dir) {
		if name == "old" || name == "typed" || name == lockName("barred") {
			continue
		}
		os.Remove(filepath.Join(dir, name))
		if !leftName {
			return fmt.Errorf("%s%s is left", where, name)
		}
	}
	return nil
}

func dirNames(dir string) (list []string) {
	all, _ := os.ReadDir(dir)
	for _, e := range all {
		list = append(list, e.Name())
	}
	return list
}

// held is what a process has of what this package gives out.
type held struct{ fds, maps, segments int }

func holdings() (h held) {
	var fds []fs.DirEntry
	fds, _ = os.ReadDir("/proc/self/fd")
	b, _ := os.ReadFile("/proc/self/maps")
	h.fds = len(fds)
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, shmDir+"/") || strings.Contains(line, "/memfd:") || strings.Contains(line, "/SYSV") {
			h.maps++
		}
	}
	h.segments = len(ownSegments())
	return h
}

func TestEachSystemCallFails(t *testing.T) {
	for _, mode := range []string{"tmpfile", "notmp"} {
		t.Run(mode, func(t *testing.T) { failEachCall(t, mode) })
	}
}

func failEachCall(t *testing.T, mode string) {
	dir := ownDir(t)
	m := must[*Segment](t)(Memfd("control", 64))
	defer closeNow(t, m)
	f := &failing{c: must[*leakControl](t)(At[leakControl](m.Bytes(), 0)), errnos: []unix.Errno{unix.EIO, unix.ENOMEM, unix.EMFILE, unix.EINTR}}
	cmd := child(t, "leaker", dir, mode, newKey(t).String(), newKey(t).String())
	cmd.ExtraFiles = []*os.File{m.File()}
	if err := trace(t, cmd, f.on); err != nil {
		t.Error(err)
	}
	if int(f.c.What.Load()) < len(leaking) || f.total < 500 {
		t.Errorf("it ended in %d of %d, after %d failures", f.c.What.Load(), len(leaking), f.total)
	}
	t.Logf("%d failures", f.total)
}

// failing decides which call fails: each, with each of the errors, in turn.
type failing struct {
	c      *leakControl
	errnos []unix.Errno
	warm   bool // the first round is left in peace

	e, n   int // which error, at which call
	inside bool
	seen   int
	total  int
}

func (f *failing) on(c sysCall) verdict {
	if m, ok := c.mark(); ok {
		if f.inside = m == 1; !f.inside {
			f.next()
		}
		f.seen = 0
		return verdict{}
	}
	if !f.inside || c.ofRuntime() {
		return verdict{}
	}
	if f.seen++; !f.warm || f.seen != f.n {
		return verdict{}
	}
	errno := f.errnos[f.e]
	if errno == unix.EINTR && !interruptible(c.nr) {
		return verdict{}
	}
	f.total++
	f.c.Failed.Store(uint32(c.nr))
	f.c.Arg.Store(uint32(c.args[1]))
	f.c.Errno.Store(uint32(errno))
	// A close that fails has closed all the same.
	return verdict{fail: errno, made: c.nr == unix.SYS_CLOSE}
}

// next goes on to the next call, error, or thing to do.
func (f *failing) next() {
	switch {
	case !f.warm:
		f.warm = true
	case f.seen >= f.n:
	case f.e+1 < len(f.errnos):
		f.e, f.n = f.e+1, 0
	default:
		f.e, f.n = 0, 0
		if f.c.What.Add(1); !isLong() && leaking[f.c.What.Load()%uint32(len(leaking))].what == large {
			f.c.What.Add(1)
		}
	}
	f.n++
}

// interruptible: the kernel may answer EINTR.
func interruptible(nr int) bool {
	switch nr {
	case unix.SYS_OPENAT, unix.SYS_FALLOCATE, unix.SYS_FLOCK, unix.SYS_FTRUNCATE, unix.SYS_LINKAT, unix.SYS_UNLINKAT,
		unix.SYS_RENAMEAT2, unix.SYS_FCHMOD, unix.SYS_FSTATFS, unix.SYS_PREAD64, unix.SYS_READ, unix.SYS_FSTAT, unix.SYS_MSYNC, unix.SYS_FSYNC,
		unix.SYS_SENDMSG, unix.SYS_RECVMSG:
		return true
	}
	return false
}
