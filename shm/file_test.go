package shm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if _, err := OpenFile(path, 64); !errors.Is(err, ErrNotExist) {
		t.Error(err)
	}
	if _, err := OpenFile(filepath.Join(path, "no", "dir"), 64, CreateFile); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	s := must[*Segment](t)(OpenFile(path, 64, CreateFile))
	copy(s.Bytes(), "hello")
	if b, _ := os.ReadFile(path); len(b) != 64 || !bytes.HasPrefix(b, []byte("hello")) {
		t.Errorf("file holds %q", b)
	}
	if err := errors.Join(s.Sync(), s.Removed()); err != nil {
		t.Error(err)
	}
	if _, err := OpenFile(path, 65); !errors.Is(err, ErrTruncated) {
		t.Error(err)
	}
	if _, err := OpenFile(path, 63, CreateFile); !errors.Is(err, ErrLayout) {
		t.Error(err)
	}
	t.Chdir(filepath.Dir(path))
	r := must[*Segment](t)(OpenFile("f", 0, ReadOnly))
	if r.Size() != 64 || string(r.Bytes()[:5]) != "hello" {
		t.Error("not the file")
	}
	if err := r.Sync(); err != nil {
		t.Error(err)
	}
	closeNow(t, r)
	os.Rename(path, path+"2") // still has a name
	if err := s.Removed(); err != nil {
		t.Error(err)
	}
	os.WriteFile(path, make([]byte, 64), 0o600)
	os.Rename(path, path+"2") // replaced
	if !errors.Is(s.Sync(), ErrRemoved) {
		t.Error("a replaced file still counts")
	}
	closeNow(t, s)
	if _, err := OpenFile("/dev/zero", 64); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
	// T76: a file system that cannot map files shared says so.
	const sys = "/sys/kernel/mm/transparent_hugepage/enabled"
	if _, err := os.Stat(sys); err == nil {
		if _, err := OpenFile(sys, 0, ReadOnly); !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "cannot map files shared") {
			t.Error(err)
		}
	}
}

// A path means what the kernel makes of it, not what it looks like.
func TestOpenFileThroughSymbolicLinks(t *testing.T) {
	defer func() { noTmpfile = false }()
	for _, noTmpfile = range []bool{false, true} {
		dir := t.TempDir()
		t.Chdir(dir)
		if err := errors.Join(os.MkdirAll("a", 0o700), os.MkdirAll("other/dir", 0o700), os.Symlink(dir+"/other/dir", "a/link")); err != nil {
			t.Fatal(err)
		}
		for path, there := range map[string]string{
			dir + "/a/link/../f1": "other/f1",
			"a/link/../f2":        "other/f2",
			"a/link/../dir/f6":    "other/dir/f6",
			"a/link/f3":           "other/dir/f3",
			"./a/.././f4":         "f4",
			"f5":                  "f5",
		} {
			s := must[*Segment](t)(OpenFile(path, 64, CreateFile))
			s.Bytes()[0] = 1
			if b, err := os.ReadFile(there); len(b) != 64 || b[0] != 1 {
				t.Errorf("%s made another file: %v", path, err)
			}
			if err := s.Sync(); err != nil {
				t.Error(err)
			}
			closeNow(t, s)
			closeNow(t, must[*Segment](t)(OpenFile(path, 64)))
		}
		if all := must[[]os.DirEntry](t)(os.ReadDir("a")); len(all) != 1 {
			t.Error("made beside the link:", all)
		}
	}
}

func TestOpenFileOfNoFilesPath(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, path := range []string{"", "/", "x/", dir + "/x/", dir + "/", "a\x00b", ".", ".."} {
		for _, opts := range [][]Option{nil, {CreateFile}} {
			want(t, failed(OpenFile(path, 64, opts...)), fs.ErrInvalid)
		}
	}
	if all := must[[]os.DirEntry](t)(os.ReadDir(dir)); len(all) > 0 {
		t.Error("made", all)
	}
}

// Many create one file at once: all map the same, complete.
func TestOpenFileRace(t *testing.T) {
	for _, way := range []bool{false, true} {
		noTmpfile = way
		defer func() { noTmpfile = false }()
		for range 50 {
			path := filepath.Join(t.TempDir(), "f")
			inodes := make([]uint64, 8)
			var wg sync.WaitGroup
			for i := range inodes {
				wg.Add(1)
				go func() {
					defer wg.Done()
					s, err := OpenFile(path, 4096, CreateFile)
					if err != nil {
						t.Error(err)
						return
					}
					st, _ := fstat(s.File())
					inodes[i] = st.Ino
					closeNow(t, s)
				}()
			}
			wg.Wait()
			for _, ino := range inodes {
				if ino != inodes[0] {
					t.Fatal("several files", inodes)
				}
			}
			if all, _ := os.ReadDir(filepath.Dir(path)); len(all) != 1 {
				t.Fatal("left", all)
			}
		}
	}
}

func TestFromFile(t *testing.T) {
	m := must[*Segment](t)(Memfd("mem", 100))
	defer closeNow(t, m)
	s := must[*Segment](t)(FromFile(m.File()))
	if s.File().Fd() == m.File().Fd() {
		t.Error("the descriptor was not duplicated")
	}
	flags, err := unix.FcntlInt(s.File().Fd(), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Error("the descriptor would leak into programs", err)
	}
	s.Bytes()[99] = 3
	closeNow(t, s)
	if m.Bytes()[99] != 3 {
		t.Error("not shared")
	}
	r, w, _ := os.Pipe()
	defer r.Close()
	defer w.Close()
	dir := must[*os.File](t)(os.Open("/"))
	defer dir.Close()
	place := must[*os.File](t)(os.OpenFile("/proc/self/exe", unix.O_PATH, 0))
	defer place.Close()
	want(t, failed(FromFile(place)), fs.ErrInvalid, "O_PATH")
	for _, f := range []*os.File{r, dir, place, nil} {
		if _, err := FromFile(f); !errors.Is(err, fs.ErrInvalid) {
			t.Error(err)
		}
	}
	closed := must[*os.File](t)(os.Open("/"))
	closed.Close()
	if _, err := FromFile(closed); !errors.Is(err, fs.ErrClosed) {
		t.Error(err)
	}
	path := filepath.Join(t.TempDir(), "f")
	empty := must[*os.File](t)(os.Create(path))
	defer empty.Close()
	if _, err := FromFile(empty); !errors.Is(err, ErrNotReady) {
		t.Error(err)
	}
	empty.WriteString("x")
	ro := must[*os.File](t)(os.Open(path))
	defer ro.Close()
	if _, err := FromFile(ro); !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), "ReadOnly") {
		t.Error(err)
	}
	s = must[*Segment](t)(FromFile(ro, ReadOnly))
	closeNow(t, s)
}

func init() {
	children["heir"] = func([]string) error {
		s, err := FromFile(os.NewFile(3, "inherited"))
		if err != nil {
			return err
		}
		in := bufio.NewReader(os.Stdin)
		for _, say := range []string{"ready", "after"} {
			fmt.Println(say, s.Bytes()[0])
			if _, err := in.ReadByte(); err != nil {
				return err
			}
			s.Bytes()[1]++
		}
		fmt.Println("end", s.Bytes()[1])
		return s.Close()
	}
}

// T77: a child that inherited the descriptor goes on when the maker has let
// go of everything.
func TestInherited(t *testing.T) {
	m := must[*Segment](t)(Memfd("mem", 100))
	m.Bytes()[0] = 42
	cmd := child(t, "heir")
	cmd.ExtraFiles = []*os.File{m.File()}
	in := must[io.WriteCloser](t)(cmd.StdinPipe())
	out := bufio.NewScanner(must[io.ReadCloser](t)(cmd.StdoutPipe()))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	expect := func(want string) {
		t.Helper()
		if !out.Scan() || out.Text() != want {
			t.Errorf("%q, want %q", out.Text(), want)
		}
	}
	expect("ready 42")
	m.Bytes()[0] = 43
	closeNow(t, m)
	in.Write([]byte("x"))
	expect("after 43")
	in.Write([]byte("x"))
	expect("end 2")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
