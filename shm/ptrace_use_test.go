//go:build amd64 || arm64

package shm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// What must hold for the system calls themselves, seen by ptrace:
//   - T65: a name that exists is opened without O_CREAT, on every way to it: in a
//     sticky directory protected_regular makes that EACCES, for root too (P-K9).
//     No machine's setting of it is needed to see this;
//   - nothing is opened that a program started meanwhile would inherit, and no
//     link at the end of a path is followed but those in /proc;
//   - Sync is msync of all of the mapping, and waits (MS_SYNC); of a mapped file it
//     is fsync of the directory, too, the first time.

func init() {
	// arg: directory, what
	children["user"] = func(arg []string) error {
		shmDir = arg[0]
		path := filepath.Join(shmDir, "raw")
		do := map[string]func() (*Segment, error){
			"Open":         func() (*Segment, error) { return Open("raw") },
			"OpenOrCreate": func() (*Segment, error) { return OpenOrCreate(bg, "raw", 8192, nil, Mode(0o666)) },
			"Share":        func() (*Segment, error) { _, s, err := Share[shared](bg, "typed", nil, Mode(0o666)); return s, err },
			"OpenFile":     func() (*Segment, error) { return OpenFile(path, 8192, CreateFile, Mode(0o666)) },
			"Create": func() (*Segment, error) {
				if _, err := Create("raw", 8192); !errors.Is(err, ErrExist) {
					return nil, err
				}
				return Open("raw", ReadOnly)
			},
			"Remove": func() (*Segment, error) {
				s, err := Open("raw")
				return s, errors.Join(err, Remove("raw"))
			},
			"List": func() (*Segment, error) {
				_, err := List()
				return &Segment{}, err
			},
		}[arg[1]]
		return underTrace(func() error {
			mark(1)
			s, err := do()
			if err == nil && s.Bytes() != nil {
				mark(3)
				if err = s.Sync(); errors.Is(err, ErrRemoved) && arg[1] == "Remove" {
					err = nil
				}
				mark(4)
				if again := s.Sync(); err == nil && arg[1] != "Remove" {
					err = again
				}
			}
			mark(2)
			return err
		})
	}
}

func TestHowNamesAreOpened(t *testing.T) {
	for _, what := range []string{"Open", "OpenOrCreate", "Share", "OpenFile", "Create", "Remove", "List"} {
		t.Run(what, func(t *testing.T) {
			dir := ownDir(t)
			s := must[*Segment](t)(Create("raw", 8192))
			closeNow(t, s)
			_, s, err := Share[shared](bg, "typed", nil)
			if err != nil {
				t.Fatal(err)
			}
			closeNow(t, s)
			at, opens, syncs, names := 0, 0, 0, 0
			cmd := child(t, "user", dir, what)
			err = trace(t, cmd, func(c sysCall) verdict {
				if m, ok := c.mark(); ok {
					at = m
				}
				switch {
				case at == 0 || at == 2:
				case c.nr == unix.SYS_OPENAT:
					opens++
					if flags := c.args[2]; flags&unix.O_CREAT != 0 || flags&unix.O_TRUNC != 0 || flags&unix.O_CLOEXEC == 0 {
						t.Errorf("opened with flags %#x", flags)
					}
				case at >= 3 && c.nr == unix.SYS_FSYNC:
					names++
					path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", cmd.Process.Pid, c.args[0]))
					if at != 3 || err != nil || path != dir {
						t.Errorf("fsync, in Sync number %d, of %q: %v", at-2, path, err)
					}
				case at >= 3 && c.nr == unix.SYS_MSYNC:
					syncs++
					if size := c.args[1]; c.args[2] != unix.MS_SYNC || size != 8192 && size != 2048+24 {
						t.Errorf("msync of %d bytes with flags %#x", size, c.args[2])
					}
				}
				return verdict{}
			})
			if err != nil || opens == 0 || syncs != 2 && what != "List" || (names == 1) != (what == "OpenFile") {
				t.Errorf("%d opens, %d syncs, %d of the name, %v", opens, syncs, names, err)
			}
		})
	}
}

// T61, by as many processes as ever start a service at once.
func TestExactlyOneInitOfSixtyFour(t *testing.T) {
	batches, rounds := 1, 50
	switch {
	case isLong():
		batches = 20 // each with other processes
	case testing.Short():
		rounds = 5
	}
	for range batches {
		raceToInit(t, 64, rounds)
	}
}

// T73: opened and closed so often that anything lost each time is seen.
func TestManyCycles(t *testing.T) {
	name, rounds := newName(t), 2000
	if isLong() {
		rounds = 100_000
	}
	_, s, err := Share[shared](bg, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	sysv, id := newSysV(t, 8192)
	a, b := pair(t, unix.SOCK_STREAM)
	cycle := func() {
		s1, e1 := Open(name)
		s2, e2 := OpenOrCreate(bg, name, 64, nil)
		_, s3, e3 := Share[shared](bg, name, nil, ReadOnly)
		s4, e4 := OpenFile(path, 0)
		s5, e5 := Memfd("cycle", 64)
		s6, e6 := FromFile(s5.File())
		if err := errors.Join(e1, e2, e3, e4, e5, e6); err != nil {
			t.Fatal(err)
		}
		s7, e7 := SysVCreate(Private, 64)
		own, _ := s7.SysVID()
		s8, e8 := SysVOpenID(id, ReadOnly)
		f, e9 := s5.ReadOnlyFile()
		e10 := Send(a, s5)
		s11, e11 := Receive(b, AllowUnsealed)
		if err := errors.Join(e7, e8, e9, e10, e11, SysVRemove(own), f.Close()); err != nil {
			t.Fatal(err)
		}
		for _, s := range []*Segment{s1, s2, s3, s4, s5, s6, s7, s8, s11} {
			closeNow(t, s)
		}
	}
	cycle()
	fds, maps := counts(t)
	for range rounds {
		cycle()
	}
	if f, m := counts(t); f != fds || m > maps+10 { // the runtime maps a little itself
		t.Errorf("descriptors %d -> %d, mappings %d -> %d in %d rounds", fds, f, maps, m, rounds)
	}
	if n := len(ownSegments()); n != 1 || must[SysVInfo](t)(SysVStat(id)).Attached != 1 || sysv.Removed() == nil {
		t.Errorf("%d System V segments", n)
	}
}
