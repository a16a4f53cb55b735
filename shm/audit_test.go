package shm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

// What must hold between processes that mean different things, or each other
// no good:
//   - T68: two programs whose T differ refuse each other, whoever came first,
//     are told the first field that differs, and touch nothing;
//   - T64, T65: another user's file under the path of OpenFile with CreateFile
//     is refused where anybody could have put it, and only there; what stands
//     there already is never opened with O_CREAT (ptrace_use_test.go);
//   - T69: an object that a peer truncates is no fault in any call of this package;
//   - T74: who uses an object that is removed and made again stays in his own,
//     knows, and finds the other by opening again.

// Two versions of one program's type. The second has a field more, in the
// middle of the first's.
type (
	programV1 struct {
		Version uint64
		Users   [4]struct{ ID, Flags uint32 }
	}
	programV2 struct {
		Version uint64
		Users   [4]struct {
			ID, Group uint32
			Flags     uint64
		}
	}
)

func init() {
	children["program"] = func(arg []string) (err error) {
		if arg[0] == "1" {
			_, _, err = Share(bg, arg[1], func(p *programV1) error { p.Version = 1; return nil })
		} else {
			_, _, err = Share(bg, arg[1], func(p *programV2) error { p.Version = 2; return nil })
		}
		if err != nil {
			fmt.Println(err)
			if !errors.Is(err, ErrLayout) {
				return err
			}
			return nil
		}
		fmt.Println("in")
		return nil
	}
}

func TestTwoVersionsRefuseEachOther(t *testing.T) {
	for first, second := range map[string]string{"1": "2", "2": "1"} {
		name := newName(t)
		if out := mustRun(t, child(t, "program", first, name)); out != "in\n" {
			t.Fatal(out)
		}
		path := filepath.Join(shmDir, name)
		before := must[[]byte](t)(os.ReadFile(path))
		was := must[os.FileInfo](t)(os.Stat(path))
		out := mustRun(t, child(t, "program", second, name))
		want := "programV1.Users[0].Flags uint32@4 4 there, programV2.Users[0].Group uint32@4 4 here"
		if second == "1" {
			want = "programV2.Users[0].Group uint32@4 4 there, programV1.Users[0].Flags uint32@4 4 here"
		}
		if !strings.Contains(out, want) || !strings.Contains(out, "programV"+first) || !strings.Contains(out, "programV"+second) {
			t.Errorf("version %s after %s: %s\nwant %s", second, first, out, want)
		}
		now := must[os.FileInfo](t)(os.Stat(path))
		if !bytes.Equal(before, must[[]byte](t)(os.ReadFile(path))) || !now.ModTime().Equal(was.ModTime()) || now.Mode() != was.Mode() {
			t.Errorf("version %s has touched what %s made", second, first)
		}
		if out := mustRun(t, child(t, "program", first, name)); out != "in\n" {
			t.Error("the first has lost it:", out)
		}
	}
}

func TestPlantedFiles(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	sticky := ownDir(t) // others may write it
	safe := filepath.Join(sticky, "safe")
	if err := os.Mkdir(safe, 0o755); err != nil {
		t.Fatal(err)
	}
	const stranger = 65534
	at := func(dir, name string, uid int) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, make([]byte, 64), 0o666), os.Chmod(path, 0o666), os.Chown(path, uid, uid)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	planted := at(sticky, "x", stranger)
	for range 2 { // whether this kernel's protected_regular looks, or not
		if _, err := OpenFile(planted, 64, CreateFile); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "uid 65534") {
			t.Errorf("a stranger's: %v", err)
		}
	}
	for what, open := range map[string]func() (*Segment, error){
		"asked for by its name":  func() (*Segment, error) { return OpenFile(planted, 64) },
		"to be shared":           func() (*Segment, error) { return OpenFile(planted, 64, CreateFile, Mode(0o666)) },
		"in a directory of ours": func() (*Segment, error) { return OpenFile(at(safe, "x", stranger), 64, CreateFile) },
		"our own":                func() (*Segment, error) { return OpenFile(at(sticky, "y", 0), 64, CreateFile) },
		"of the directory's owner": func() (*Segment, error) {
			theirs := filepath.Join(sticky, "theirs")
			os.Mkdir(theirs, 0)
			if err := errors.Join(os.Chown(theirs, stranger, 0), os.Chmod(theirs, 0o777)); err != nil {
				return nil, err
			}
			return OpenFile(at(theirs, "x", stranger), 64, CreateFile)
		},
	} {
		s, err := open()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		closeNow(t, s)
	}
	// A link to a file of root's, planted under the path.
	target := at(safe, "precious", 0)
	link := filepath.Join(sticky, "link")
	if err := errors.Join(os.Symlink(target, link), os.Lchown(link, stranger, stranger)); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(link, 64, CreateFile); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a link: %v", err)
	}
}

func TestTruncatedByAPeer(t *testing.T) {
	name := newName(t)
	_, s, err := Share[[1 << 16]byte](bg, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	path := filepath.Join(shmDir, name)
	for _, size := range []int64{5000, 2048, 1000, 1, 0} {
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Sync(), s.Removed()); err != nil {
			t.Errorf("cut to %d: %v", size, err)
		}
		if len(s.Bytes()) != 1<<16+2048 || s.Size() != 1<<16+2048 {
			t.Errorf("cut to %d: the mapping has another size", size)
		}
		_, _, err := Share[[1 << 16]byte](bg, name, nil)
		switch {
		case size == 0 && errors.Is(err, ErrNotReady), size > 0 && errors.Is(err, ErrTruncated), size == 1 && errors.Is(err, ErrLayout):
		default:
			t.Errorf("cut to %d: Share: %v", size, err)
		}
		if _, err := OpenOrCreate(bg, name, 1<<16, nil); !errors.Is(err, ErrTruncated) && size > 0 {
			t.Errorf("cut to %d: OpenOrCreate: %v", size, err)
		}
		if _, err := OpenFile(path, 1<<16); !errors.Is(err, ErrTruncated) && size > 0 {
			t.Errorf("cut to %d: OpenFile: %v", size, err)
		}
		o, err := Open(name) // raw: as it is now
		if size > 0 && (err != nil || o.Size() != size) {
			t.Errorf("cut to %d: Open: %v", size, err)
		} else if err == nil {
			closeNow(t, o)
		}
		f, err := FromFile(s.File())
		if size == 0 && !errors.Is(err, ErrNotReady) || size > 0 && err != nil {
			t.Errorf("cut to %d: FromFile: %v", size, err)
		} else if err == nil {
			closeNow(t, f)
		}
		must[[]Info](t)(List())
	}
}

// A peer that truncates while Share looks: the header is never read from the
// mapping.
func TestTruncatedMeanwhile(t *testing.T) {
	name := newName(t)
	good := goodSegment(t)
	plant(t, name, good)
	path := filepath.Join(shmDir, name)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return
		}
		defer f.Close()
		for {
			select {
			case <-stop:
				return
			default:
				f.Truncate(0)
				f.WriteAt(good, 0)
			}
		}
	}()
	for range proctest.Scaled(300, 100) {
		_, s, err := Share[shared](bg, name, nil)
		if err == nil {
			closeNow(t, s)
		} else if !isTyped(err) {
			t.Error(err)
		}
	}
	close(stop)
	<-done
}

func TestRemovedUnderItsUsers(t *testing.T) {
	name := newName(t)
	var pids []int
	for gen := range 3 {
		s := must[*Segment](t)(Create(name, int64(64+gen)))
		closeNow(t, s)
		pid, _ := mapper(t, nil, "open", name)
		pids = append(pids, pid)
		if err := Remove(name); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(name); !errors.Is(err, ErrNotExist) {
			t.Fatal(err)
		}
	}
	gens := 0
	for _, i := range must[[]Info](t)(List()) {
		if i.Name == name[1:] && i.Removed && len(i.Users) == 1 {
			gens++
		}
	}
	if gens != len(pids) {
		t.Errorf("%d generations are in use, want %d", gens, len(pids))
	}
}

// inMounts runs a child in a mount namespace of its own; it skips the test where
// there is none.
func inMounts(t *testing.T, name string, arg ...string) {
	t.Helper()
	inNamespaces(t, syscall.CLONE_NEWNS, name, arg...)
}

func inNamespaces(t *testing.T, flags uintptr, name string, arg ...string) {
	t.Helper()
	cmd := child(t, name, arg...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	var out strings.Builder
	cmd.Stderr, cmd.Stdout = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.Is(err, unix.EPERM) || errors.As(err, &exit) && strings.Contains(out.String(), "mount: ") {
		t.Skip("needs mounts of its own: ", err, out.String())
	}
	if err != nil {
		t.Errorf("%v: %s", err, out.String())
	} else if out.Len() > 0 {
		t.Log(out.String())
	}
}

// isLong: INTERLOCK_LONG=1 asks for the long form of tests.
func isLong() bool { return os.Getenv("INTERLOCK_LONG") != "" }
