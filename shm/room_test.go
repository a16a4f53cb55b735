package shm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// T70: no room is an error when the object is made, names the size, and
// leaves nothing, neither name nor memory.

const mib = 1 << 20

func init() {
	// Runs in a mount namespace of its own, with a small file system over
	// /dev/shm. arg: file system type, its options
	children["tiny"] = func(arg []string) error {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("private mounts: %w", err)
		}
		if err := unix.Mount("none", shmDir, arg[0], 0, arg[1]); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		if arg[0] == "ramfs" { // has no fallocate at all
			s, err := Create("x", mib+5)
			if err != nil || len(s.Bytes()) != mib+5 {
				return fmt.Errorf("on ramfs: %w", err)
			}
			return nil
		}
		for _, way := range []bool{false, true} {
			noTmpfile = way
			if err := fillTiny(); err != nil {
				return err
			}
		}
		return nil
	}
}

func fillTiny() error {
	_, e1 := Create("x", 2*mib)
	_, e2 := OpenOrCreate(bg, "x", 2*mib, func(*Segment) error { panic("init without room") })
	_, _, e3 := Share[[2 * mib]byte](bg, "x", nil)
	_, e4 := OpenFile(filepath.Join(shmDir, "f"), 2*mib, CreateFile)
	_, e5 := Create("x", 100*mib) // more than a piece: refused before it begins
	for i, err := range []error{e1, e2, e3, e4, e5} {
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "bytes") {
			return fmt.Errorf("call %d: %w", i, err)
		}
	}
	if all, _ := os.ReadDir(shmDir); len(all) > 0 {
		return fmt.Errorf("left: %v", all)
	}
	// All of the room is there again, and every byte of it can be touched.
	s, err := Create("x", mib)
	if err != nil {
		return err
	}
	for i := range s.Bytes() {
		s.Bytes()[i] = 1
	}
	if _, err := Create("y", 1); !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("one byte more: %w", err)
	}
	return errors.Join(s.Close(), Remove("x"))
}

func TestFullFileSystem(t *testing.T) {
	for _, fs := range [][2]string{{"tmpfs", "size=1M"}, {"ramfs", ""}} {
		t.Run(fs[0], func(t *testing.T) {
			cmd := child(t, "tiny", fs[0], fs[1])
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
			if os.Getuid() != 0 {
				cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
				cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
				// A group without a mapping owns no file: EOVERFLOW.
				cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
			}
			var out strings.Builder
			cmd.Stderr = &out
			err := cmd.Run()
			if errors.Is(err, unix.EPERM) || strings.Contains(out.String(), "operation not permitted") {
				t.Skip("needs a mount namespace:", err, out.String())
			}
			if err != nil {
				t.Errorf("%v: %s", err, out.String())
			}
		})
	}
}

func init() {
	children["fsize"] = func(arg []string) error {
		lim := unix.Rlimit{Cur: 64 << 10, Max: 64 << 10}
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &lim); err != nil {
			return err
		}
		_, e1 := Create(arg[0], mib)
		_, e2 := Memfd("x", mib)
		for _, err := range []error{e1, e2} {
			if !errors.Is(err, unix.EFBIG) || !strings.Contains(err.Error(), "1048576 bytes") {
				return fmt.Errorf("want EFBIG: %w", err)
			}
		}
		s, err := Create(arg[0], 64<<10)
		if err != nil {
			return err
		}
		return errors.Join(s.Close(), Remove(arg[0]))
	}
	children["as"] = func(arg []string) error {
		lim := unix.Rlimit{Cur: 4 << 30, Max: 4 << 30}
		if err := unix.Setrlimit(unix.RLIMIT_AS, &lim); err != nil {
			return err
		}
		f, err := os.CreateTemp("", "as")
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		if err := f.Truncate(8 << 30); err != nil { // sparse
			return err
		}
		if _, err := FromFile(f); !errors.Is(err, unix.ENOMEM) {
			return fmt.Errorf("want ENOMEM: %w", err)
		}
		return nil
	}
}

func TestResourceLimits(t *testing.T) {
	mustRun(t, child(t, "fsize", newName(t)))
	mustRun(t, child(t, "as"))
}

// A file system without fallocate gets zeros written instead.
func TestNoFallocate(t *testing.T) {
	old := fallocate
	fallocate = func(*os.File, int64, int64) error { return unix.EOPNOTSUPP }
	defer func() { fallocate = old }()
	path := filepath.Join(t.TempDir(), "f")
	s := must[*Segment](t)(OpenFile(path, 3*mib+1, CreateFile))
	defer closeNow(t, s)
	st := must[unix.Stat_t](t)(fstat(s.File()))
	if st.Size != 3*mib+1 || st.Blocks*512 < 3*mib {
		t.Errorf("%d bytes, %d blocks", st.Size, st.Blocks)
	}
}
