//go:build amd64 || arm64

package shm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/layout"
)

// T62: a maker is killed at each system call that it makes, found by ptrace, and
// not only where the code says that a step is done. What must hold, whichever
// call it was and whether it is stopped there or killed:
//   - under the name there is nothing, or the complete object;
//   - whoever waits for it has the object in less than a second after the kill,
//     the maker's or his own, made on zeroed memory;
//   - Remove leaves nothing (but for the temporary file of a file system
//     without O_TMPFILE, inode.go).

func init() {
	// arg: what, name or path, directory, "notmp"
	children["traced maker"] = func(arg []string) error {
		shmDir = arg[2]
		noTmpfile = arg[3] == "notmp"
		return underTrace(func() (err error) {
			mark(1)
			switch arg[0] {
			case "create":
				_, err = Create(arg[1], raceSize)
			case "file":
				_, err = OpenFile(arg[1], raceSize, CreateFile)
			default:
				_, err = openRace(context.Background(), arg[1], arg[0] == "share", func(v *raceT) error {
					v.Fill[17] = 99 // visible if half-made memory were ever reused
					mark(0)         // a call in the middle
					v.finish(5)
					return nil
				})
			}
			mark(2)
			return err
		})
	}
}

func TestKilledAtEachSystemCall(t *testing.T) {
	for _, what := range []string{"create", "file", "raw", "share"} {
		for _, mode := range []string{"tmpfile", "notmp"} {
			t.Run(what+"/"+mode, func(t *testing.T) { killAtEachCall(t, what, mode) })
		}
	}
}

func killAtEachCall(t *testing.T, what, mode string) {
	dir := ownDir(t)
	var worst time.Duration
	for n := 1; ; n++ {
		k := &killing{t: t, what: what, name: "/" + runID + "k", n: n, dir: dir}
		if what == "file" {
			k.name = filepath.Join(dir, runID+"k")
		}
		err := trace(t, child(t, "traced maker", what, k.name, dir, mode), k.on)
		if err != nil && !k.done {
			t.Fatalf("call %d: %v", n, err)
		}
		took := k.finish()
		worst = max(worst, took)
		k.clean(mode)
		if !k.done {
			t.Logf("%d calls, worst takeover %v", n-1, worst.Round(10*time.Microsecond))
			if n < 8 {
				t.Errorf("only %d calls were seen", n-1)
			}
			return
		}
	}
}

// killing is one run of the maker, to its n-th call.
type killing struct {
	t               *testing.T
	what, name, dir string
	n               int

	begun  bool
	done   bool // it came to the n-th call
	call   sysCall
	killed time.Time
	heir   chan error // the end of a comer who waits since before the kill
}

func (k *killing) on(c sysCall) verdict {
	if m, ok := c.mark(); ok {
		k.begun = m == 1 || k.begun && m == 0
		if m == 0 {
			k.lookIn(c)
		}
		return verdict{}
	}
	if !k.begun || c.ofRuntime() {
		return verdict{}
	}
	if k.n--; k.n != 0 {
		return verdict{}
	}
	k.lookIn(c)
	k.done, k.call = true, c
	if k.what == "raw" || k.what == "share" {
		k.heir = make(chan error, 1)
		go func() { k.heir <- k.comer() }()
		select { // usually enough to wait for the maker, who stands still
		case err := <-k.heir:
			k.heir <- err
		case <-time.After(2 * time.Millisecond):
		}
	}
	k.killed = time.Now()
	return verdict{kill: true}
}

// lookIn looks at the name while the maker stands at a call.
func (k *killing) lookIn(c sysCall) {
	s, err := k.open()
	if errors.Is(err, ErrNotExist) {
		return
	}
	if err == nil {
		b := s.Bytes()
		zero := make([]byte, raceSize)
		switch k.what {
		case "create", "file":
			if !bytes.Equal(b, zero) {
				err = errors.New("not zero")
			}
		case "raw", "share":
			off := 0
			if k.what == "share" {
				off = layout.PayloadOffset
			}
			p, e := At[raceT](b, off)
			if err = e; err == nil {
				err = p.whole()
			}
		}
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		k.t.Errorf("at %s: the name shows something that is not complete: %v", callName(c), err)
	}
}

func (k *killing) open() (*Segment, error) {
	if k.what == "file" {
		return OpenFile(k.name, 0)
	}
	return Open(k.name)
}

// comer is the next one: finishAfter, and lets go.
func (k *killing) comer() error {
	s, _, err := finishAfter(k.what, k.name)
	if err == nil {
		err = s.Close()
	}
	return err
}

// finish lets the next comer have the object, and tells how long after the
// kill that was.
func (k *killing) finish() time.Duration {
	if k.heir == nil {
		k.killed = time.Now()
		k.heir = make(chan error, 1)
		k.heir <- k.comer()
	}
	var err error
	select {
	case err = <-k.heir:
	case <-time.After(10 * time.Second):
		k.t.Fatalf("killed at %s: the next comer hangs", callName(k.call))
	}
	took := time.Since(k.killed)
	if err != nil || took > breach {
		k.t.Errorf("killed at %s: next comer: %v after %v", callName(k.call), err, took)
	}
	return took
}

func (k *killing) clean(mode string) {
	var err error
	if k.what == "file" {
		err = os.Remove(k.name)
	} else {
		err = Remove(k.name)
	}
	if err != nil {
		k.t.Error(err)
	}
	for _, left := range leftovers(k.dir) {
		if mode == "notmp" && strings.HasPrefix(left, reserved+"tmp-") {
			os.Remove(filepath.Join(k.dir, left)) // documented: inode.go
			continue
		}
		k.t.Errorf("killed at %s: %s is left after Remove", callName(k.call), left)
	}
}

// callName names the calls that matter here.
func callName(c sysCall) string {
	name := map[int]string{
		unix.SYS_OPENAT: "openat", unix.SYS_CLOSE: "close", unix.SYS_FSTAT: "fstat", unix.SYS_FCHMOD: "fchmod",
		unix.SYS_FALLOCATE: "fallocate", unix.SYS_MMAP: "mmap", unix.SYS_MUNMAP: "munmap", unix.SYS_LINKAT: "linkat",
		unix.SYS_UNLINKAT: "unlinkat", unix.SYS_FLOCK: "flock", unix.SYS_FCNTL: "fcntl", unix.SYS_RENAMEAT2: "renameat2",
		unix.SYS_FSTATFS: "fstatfs", unix.SYS_MEMFD_CREATE: "memfd_create", unix.SYS_PREAD64: "pread64", unix.SYS_READ: "read",
		unix.SYS_MSYNC: "msync", unix.SYS_FSYNC: "fsync", unix.SYS_PWRITE64: "pwrite64",
		unix.SYS_SHMGET: "shmget", unix.SYS_SHMAT: "shmat", unix.SYS_SHMDT: "shmdt", unix.SYS_SHMCTL: "shmctl",
		unix.SYS_SENDMSG: "sendmsg", unix.SYS_RECVMSG: "recvmsg", unix.SYS_MLOCK: "mlock", unix.SYS_MADVISE: "madvise", unix.SYS_PRCTL: "the middle of init",
	}[c.nr]
	if name == "" {
		name = "call"
	}
	return fmt.Sprintf("%s (%d)", name, c.nr)
}
