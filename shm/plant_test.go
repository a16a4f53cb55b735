package shm

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// T64: what somebody planted under the name is refused and left as it was.
func TestPlanted(t *testing.T) {
	dir := ownDir(t)
	target := filepath.Join(dir, "target")
	content := bytes.Repeat([]byte("precious"), 512)
	if err := os.WriteFile(target, content, 0o644); err != nil {
		t.Fatal(err)
	}
	before := must[os.FileInfo](t)(os.Stat(target))
	at := filepath.Join(dir, "x")
	plants := map[string]func() error{
		"symlink":          func() error { return os.Symlink(target, at) },
		"dangling symlink": func() error { return os.Symlink(filepath.Join(dir, "nowhere"), at) },
		"hard link":        func() error { return os.Link(target, at) },
		"FIFO":             func() error { return unix.Mkfifo(at, 0o666) },
		"directory":        func() error { return os.Mkdir(at, 0o777) },
		"socket":           func() error { return unix.Mknod(at, unix.S_IFSOCK|0o666, 0) },
		"device":           func() error { return unix.Mknod(at, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) },
	}
	for what, make := range plants {
		if err := make(); err != nil {
			t.Logf("%s: skipped: %v", what, err)
			continue
		}
		ctx, cancel := context.WithTimeout(bg, 5*time.Second)
		_, e1 := Create("x", 4096)
		_, e2 := Open("x")
		_, e3 := Open("x", ReadOnly)
		_, e4 := OpenOrCreate(ctx, "x", 4096, nil)
		_, _, e5 := Share[uint64](ctx, "x", nil)
		_, e6 := OpenFile(at, 0)
		_, e7 := OpenFile(at, 4096, CreateFile)
		cancel()
		if !errors.Is(e1, ErrExist) {
			t.Errorf("%s: Create: %v", what, e1)
		}
		for i, err := range []error{e2, e3, e4, e5, e6, e7} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s: call %d: %v", what, i+2, err)
			}
		}
		if _, err := os.Lstat(filepath.Join(dir, "nowhere")); err == nil {
			t.Errorf("%s: a symbolic link was followed", what)
		}
		os.Remove(at)
	}
	after := must[os.FileInfo](t)(os.Stat(target))
	if b, _ := os.ReadFile(target); !bytes.Equal(b, content) || after.Mode() != before.Mode() || !after.ModTime().Equal(before.ModTime()) {
		t.Error("the target was touched")
	}
}

// The same for the lock file's name.
func TestPlantedLock(t *testing.T) {
	dir := ownDir(t)
	at := filepath.Join(dir, lockName("x"))
	for what, make := range map[string]func() error{
		"symlink":   func() error { return os.Symlink(filepath.Join(dir, "nowhere"), at) },
		"FIFO":      func() error { return unix.Mkfifo(at, 0o666) },
		"directory": func() error { return os.Mkdir(at, 0o777) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := OpenOrCreate(bg, "x", 64, nil); err == nil || time.Since(start) > breach {
			t.Errorf("%s: %v in %v", what, err, time.Since(start))
		}
		os.Remove(at)
	}
	// An old lock file that nobody holds is no obstacle, whatever is in it.
	os.WriteFile(at, []byte("old"), 0o600)
	s := must[*Segment](t)(OpenOrCreate(bg, "x", 64, nil))
	closeNow(t, s)
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Error("left:", all)
	}
}

// A stranger who holds the lock is waited for only where all users may be peers.
func TestAStrangersLock(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make another user's file")
	}
	at := filepath.Join(ownDir(t), lockName("x"))
	if err := errors.Join(os.WriteFile(at, nil, 0o644), os.Chown(at, 12345, 12345)); err != nil {
		t.Fatal(err)
	}
	f := must[*os.File](t)(os.Open(at))
	defer f.Close()
	if ok, err := tryFlock(f); !ok || err != nil {
		t.Fatal(ok, err)
	}
	ctx, cancel := context.WithTimeout(bg, time.Minute)
	defer cancel()
	_, _, shared := Share[uint64](ctx, "x", nil)
	for _, err := range []error{failed(OpenOrCreate(ctx, "x", 64, nil)), shared} {
		want(t, err, fs.ErrPermission, at, "uid 12345", "uid 0", "pid "+strconv.Itoa(os.Getpid()), "shm.Mode")
	}
	want(t, failed(OpenOrCreate(ctx, "x", 64, nil, ReadOnly)), ErrNotExist)
	soon, cancel := context.WithTimeout(bg, 50*time.Millisecond)
	defer cancel()
	want(t, failed(OpenOrCreate(soon, "x", 64, nil, Mode(0o666))), context.DeadlineExceeded, "pid "+strconv.Itoa(os.Getpid()))
	f.Close() // dead: anybody may have his lock
	closeNow(t, must[*Segment](t)(OpenOrCreate(ctx, "x", 64, nil)))
}

func init() {
	// Runs as another user; arg: a directory that he may not search.
	children["unsearchable"] = func(arg []string) error {
		shmDir = arg[0]
		_, e1 := Create("x", 64)
		_, e2 := OpenOrCreate(bg, "x", 64, nil)
		_, e3 := Open("x")
		for i, err := range []error{e1, e2, e3, Remove("x")} {
			if !errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrExist) {
				return errors.New("call " + strconv.Itoa(i) + ": " + errText(err))
			}
		}
		return nil
	}
}

func TestADirectoryThatMayNotBeSearched(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	dir := ownDir(t)
	if err := os.Chmod(dir, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := child(t, "unsearchable", dir)
	unprivileged(t, cmd)
	mustRun(t, cmd)
}

func TestRemoveOfADirectory(t *testing.T) {
	dir := ownDir(t)
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := Remove("d")
	want(t, err, fs.ErrInvalid, "is a directory")
	if strings.Contains(err.Error(), "owner") {
		t.Error(err)
	}
}

func init() {
	// arg: umask and directory, both octal or plain; makes one of each.
	children["umask"] = func(arg []string) error {
		mask, err := strconv.ParseInt(arg[0], 8, 32)
		if err != nil {
			return err
		}
		unix.Umask(int(mask))
		shmDir = arg[1]
		noTmpfile = arg[2] == "notmp"
		for _, perm := range []os.FileMode{0, 0o600, 0o640, 0o666, 0o777} {
			n := strconv.FormatInt(int64(perm), 8)
			_, e1 := Create("c"+n, 64, Mode(perm))
			_, e2 := OpenOrCreate(bg, "o"+n, 64, nil, Mode(perm))
			_, e3 := OpenFile(filepath.Join(shmDir, "f"+n), 64, CreateFile, Mode(perm))
			m, e4 := Memfd("m", 64, Mode(perm&^0o111)) // never executable
			if err := errors.Join(e1, e2, e3, e4); err != nil {
				return err
			}
			if fi, _ := m.File().Stat(); fi.Mode().Perm() != perm&^0o111 {
				return errors.New("memfd has mode " + fi.Mode().String())
			}
		}
		_, err = Create("default", 64)
		return err
	}
}

// T64: the mode is exact under any umask.
func TestUmask(t *testing.T) {
	for _, mask := range []string{"0", "22", "77", "777"} {
		for _, how := range []string{"tmpfile", "notmp"} {
			dir := ownDir(t)
			mustRun(t, child(t, "umask", mask, dir, how))
			all := must[[]os.DirEntry](t)(os.ReadDir(dir))
			if len(all) != 16 {
				t.Errorf("umask %s: %d files", mask, len(all))
			}
			for _, f := range all {
				fi := must[os.FileInfo](t)(f.Info())
				want, err := strconv.ParseUint(f.Name()[1:], 8, 32)
				if err != nil {
					want = 0o600 // "default"
				}
				if fi.Mode() != os.FileMode(want) {
					t.Errorf("umask %s, %s: %s has mode %v", mask, how, f.Name(), fi.Mode())
				}
			}
			os.RemoveAll(dir)
			shmDir = filepath.Dir(dir)
		}
	}
}

func init() {
	// Runs as another user.
	children["stranger"] = func(arg []string) error {
		dir := arg[0]
		shmDir = dir
		_, e1 := Open("private")
		_, e2 := Open("private", ReadOnly)
		_, e3 := Open("readable")
		_, e4 := OpenOrCreate(bg, "readable", 64, nil)
		for i, err := range []error{e1, e2, e3, e4, Remove("private"), Remove("public")} {
			if !errors.Is(err, fs.ErrPermission) {
				return errors.New("call " + strconv.Itoa(i) + ": want permission denied, got " + errText(err))
			}
		}
		s, e5 := Open("readable", ReadOnly)
		p, e6 := Open("public") // of root, sticky directory: never O_CREAT (P-K9)
		_, e7 := OpenOrCreate(bg, "public", 64, nil, Mode(0o666))
		_, e8 := Create("mine", 64, Mode(0o666))
		// Root's dead initialiser left its lock: it is used, and cannot be
		// removed, which does not matter.
		_, e9 := OpenOrCreate(bg, "locked", 64, nil, Mode(0o666))
		if err := errors.Join(e5, e6, e7, e8, e9); err != nil {
			return err
		}
		if s.Bytes()[0] != 1 || p.Bytes()[0] != 2 {
			return errors.New("another object")
		}
		p.Bytes()[1] = 3
		return nil
	}
}

func errText(err error) string {
	if err == nil {
		return "nil"
	}
	return err.Error()
}

// T65, T66: other users get in where the mode admits them, and only there.
func TestOtherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	dir := ownDir(t)
	private := must[*Segment](t)(Create("private", 64))
	defer closeNow(t, private)
	readable := must[*Segment](t)(Create("readable", 64, Mode(0o644)))
	defer closeNow(t, readable)
	public := must[*Segment](t)(Create("public", 64, Mode(0o666)))
	defer closeNow(t, public)
	readable.Bytes()[0], public.Bytes()[0] = 1, 2
	if err := os.WriteFile(filepath.Join(dir, lockName("locked")), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := child(t, "stranger", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	mustRun(t, cmd)
	if public.Bytes()[1] != 3 {
		t.Error("not shared")
	}
	// What the stranger made is refused where we want a private object ...
	_, e1 := OpenOrCreate(bg, "mine", 64, nil)
	_, _, e2 := Share[uint64](bg, "mine", nil)
	for _, err := range []error{e1, e2} {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("a stranger's object under a private name: %v", err)
		}
	}
	// ... and taken where we said that we share.
	s1 := must[*Segment](t)(OpenOrCreate(bg, "mine", 64, nil, Mode(0o666)))
	s2 := must[*Segment](t)(Open("mine"))
	closeNow(t, s1)
	closeNow(t, s2)
}

func TestNotReady(t *testing.T) {
	name := newName(t)
	plant(t, name, nil)
	start := time.Now()
	_, e1 := Open(name)
	_, e2 := OpenOrCreate(bg, name, 64, nil)
	_, _, e3 := Share[uint64](bg, name, nil)
	for _, err := range []error{e1, e2, e3} {
		if !errors.Is(err, ErrNotReady) {
			t.Error(err)
		}
	}
	if d := time.Since(start); d < 3*settleTime || d > 20*settleTime {
		t.Errorf("three waits took %v", d)
	}
	// A C program sizes its object while we wait; another publishes by link.
	path := filepath.Join(shmDir, name)
	go func() {
		time.Sleep(settleTime / 10)
		os.Truncate(path, 100)
	}()
	s := must[*Segment](t)(Open(name))
	if s.Size() != 100 {
		t.Error(s.Size())
	}
	closeNow(t, s)
	two := filepath.Join(shmDir, newName(t))
	if err := os.Link(filepath.Join(shmDir, name), two); err != nil {
		t.Fatal(err)
	}
	go func() {
		time.Sleep(settleTime / 10)
		os.Remove(two)
	}()
	s = must[*Segment](t)(Open(name))
	closeNow(t, s)
}
