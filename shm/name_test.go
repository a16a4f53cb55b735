package shm

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// T63: what is no plain file name is a typed error in every call, and nothing
// is made anywhere.
func TestNames(t *testing.T) {
	dir := ownDir(t)
	bad := []string{"", "/", "//", "//x", "a/b", "/a/b", "/a/", ".", "..", "/.", "/..", "../x", "a\x00b",
		strings.Repeat("n", 256), reserved + "x", "/" + reserved + "tmp-1-2"}
	for _, name := range bad {
		_, err1 := Create(name, 1)
		_, err2 := Open(name)
		_, err3 := OpenOrCreate(context.Background(), name, 1, nil)
		_, _, err4 := Share[uint64](context.Background(), name, nil)
		for i, err := range []error{err1, err2, err3, err4, Remove(name)} {
			if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("call %d of name %q: %v", i, name, err)
			}
		}
	}
	if all, _ := filepath.Glob(filepath.Join(dir, "*")); len(all) > 0 {
		t.Errorf("bad names made %q", all)
	}
	good := []string{"x", "/y", "ünïcödé 名", strings.Repeat("n", 255), strings.Repeat("m", 250), "...", "-", "a\nb", "\xff"}
	for _, name := range good {
		s, err := OpenOrCreate(context.Background(), name, 8, nil)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		closeNow(t, s)
		if _, err := os.Lstat(filepath.Join(dir, strings.TrimPrefix(name, "/"))); err != nil {
			t.Error(err)
		}
		if err := Remove("/" + strings.TrimPrefix(name, "/")); err != nil {
			t.Error(err)
		}
	}
	if all, _ := os.ReadDir(dir); len(all) > 0 {
		t.Errorf("good names left %v", all)
	}
}

func TestSlashMeansTheSame(t *testing.T) {
	name := newName(t)
	s := must[*Segment](t)(Create(name, 64))
	defer closeNow(t, s)
	s.Bytes()[3] = 7
	o := must[*Segment](t)(Open(strings.TrimPrefix(name, "/")))
	defer closeNow(t, o)
	if o.Bytes()[3] != 7 || o.Size() != 64 {
		t.Error("another object")
	}
}

func TestLockNames(t *testing.T) {
	seen := map[string]bool{}
	for n := 1; n <= nameMax; n++ {
		l := lockName(strings.Repeat("x", n))
		if len(l) > nameMax || !strings.HasPrefix(l, reserved) || seen[l] {
			t.Fatalf("name of %d bytes: lock %q", n, l)
		}
		seen[l] = true
	}
	// Nor may a name that is embedded have the lock of one that is hashed.
	hashed := lockName(strings.Repeat("x", nameMax))
	if n, ok := strings.CutSuffix(strings.TrimPrefix(hashed, reserved), ".init"); ok && lockName(n) == hashed {
		t.Errorf("%q has the lock of a name of %d bytes", n, nameMax)
	}
}

func TestOptions(t *testing.T) {
	name := newName(t)
	for i, err := range []error{
		second(Create(name, 8, ReadOnly)), second(Create(name, 8, AllowPIDNamespace)), second(Open(name, Mode(0o600))),
		second(Create(name, 8, Mode(os.ModeSticky|0o600))), second(Memfd("x", 8, CreateFile)),
		second(OpenFile("/tmp/x", 8, CreateFile, ReadOnly)), second(OpenFile("/tmp/x", 8, Mode(0o600))),
		second(Create(name, 0)), second(Create(name, -1)), second(OpenOrCreate(context.Background(), name, 0, nil)),
		second(Memfd("x", 0)), second(Memfd("a\x00", 8)), second(Memfd(strings.Repeat("x", 250), 8)),
		second(FromFile(nil)), second(OpenFile("/tmp/x", -1)), second(OpenFile("/tmp/x", 0, CreateFile)),
	} {
		if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%d: %v", i, err)
		}
	}
	s := must[*Segment](t)(Create(name, 8, Option{}))
	closeNow(t, s)
	s = must[*Segment](t)(Memfd(strings.Repeat("x", 249), 8))
	closeNow(t, s)
	want(t, failed(Memfd("x", 8, Mode(0o755))), fs.ErrInvalid, "Mode(0755)", "x bits")
	want(t, failed(Sealed("x", []byte("x"), Mode(0o410))), fs.ErrInvalid, "Mode(0410)", "x bits")
	want(t, failed(Ftok("a\x00b", 1)), fs.ErrInvalid)
}

func second(_ *Segment, err error) error { return err }
