// What holds between this package and programs in C that use shm_open, or open,
// and mmap: either opens what the other made, with its size and mode, sees its
// stores at once, and knows when the other takes the name away.
package shm

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// startPosixC builds and starts testdata/posix.c.
func startPosixC(t *testing.T) sysvC { return startProgramInC(t, "posix") }

// talkC lets both store into what they share, and see the other's.
func (c sysvC) talkC(s *Segment) {
	c.t.Helper()
	last := s.Size() - 1
	c.expect("0", "put %d 200", last)
	if s.Bytes()[last] != 200 {
		c.t.Error("C's store is not seen")
	}
	s.Bytes()[1] = 99
	c.expect("99", "get 1")
	// The descriptor shows what the mapping has, and the other way round.
	c.expect("99", "read 1")
	c.expect("0", "write 2 55")
	if s.Bytes()[2] != 55 {
		c.t.Error("C's write is not seen")
	}
}

func TestGoOpensWhatShmOpenMade(t *testing.T) { // T61
	c := startPosixC(t)
	name := newName(t)
	c.expect("5000", "create %s 5000 640", name)
	c.expect("EEXIST", "create %s 5000 640", name)
	c.expect("5000", "open %s", name)
	want(t, failed(Create(name, 64)), ErrExist)
	for _, open := range []func() (*Segment, error){
		func() (*Segment, error) { return Open(name) },
		func() (*Segment, error) {
			return OpenOrCreate(bg, name, 100, func(*Segment) error { t.Error("init"); return nil })
		},
		func() (*Segment, error) { return OpenFile(filepath.Join(shmDir, name), 5000) },
	} {
		s := must[*Segment](t)(open())
		if fi := must[os.FileInfo](t)(s.File().Stat()); s.Size() != 5000 || fi.Mode() != 0o640 {
			t.Errorf("%d bytes, mode %v", s.Size(), fi.Mode())
		}
		c.talkC(s)
		closeNow(t, s)
	}
	want(t, failed(OpenOrCreate(bg, name, 5001, nil)), ErrTruncated, "5000 bytes")
	_, _, err := Share[shared](bg, name, nil)
	want(t, err, ErrLayout, "not made by shm.Share")
	s := must[*Segment](t)(Open(name, ReadOnly))
	defer closeNow(t, s)
	c.expect("0", "unlink %s", name)
	want(t, s.Removed(), ErrRemoved)
	want(t, failed(Open(name)), ErrNotExist)
	c.expect("0", "put 0 3")
	if s.Bytes()[0] != 3 {
		t.Error("the object went with its name")
	}
}

func TestShmOpenOpensWhatGoMade(t *testing.T) { // T61
	c := startPosixC(t)
	name := newName(t)
	c.expect("ENOENT", "open %s", name)
	for i, make := range []func() (*Segment, error){
		func() (*Segment, error) { return Create(name, 5000, Mode(0o604)) },
		func() (*Segment, error) { return OpenOrCreate(bg, name, 5000, nil, Mode(0o604)) },
	} {
		s := must[*Segment](t)(make())
		c.expect("EEXIST", "create %s 5000 600", name)
		c.expect("5000", "open %s", name)
		c.expect("604", "mode")
		c.talkC(s)
		c.expect("0", "unmap")
		c.expect("5000", "look %s", name)
		c.expect("200", "get 4999")
		closeNow(t, s)
		if err := Remove(name); err != nil {
			t.Errorf("way %d: %v", i, err)
		}
		c.expect("200", "get 4999") // lives until its last user
		c.expect("ENOENT", "open %s", name)
	}
	v, s, err := Share(bg, name, func(v *shared) error { v.A = 77; return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	c.expect(fmt.Sprint(s.Size()), "open %s", name)
	c.expect("77", "get 2048") // where the header says that T is
	c.expect("0", "put 2048 78")
	if v.A != 78 {
		t.Error("not shared")
	}
}

func TestGoAndCMapOneFile(t *testing.T) { // T76
	c := startPosixC(t)
	path := filepath.Join(t.TempDir(), "made-by-c")
	c.expect("5000", "file %s 5000 640", path)
	s := must[*Segment](t)(OpenFile(path, 5000))
	c.talkC(s)
	c.expect("0", "sync")
	if err := s.Sync(); err != nil {
		t.Error(err)
	}
	closeNow(t, s)
	path = filepath.Join(filepath.Dir(path), "made-by-go")
	s = must[*Segment](t)(OpenFile(path, 5000, CreateFile, Mode(0o604)))
	defer closeNow(t, s)
	c.expect("EEXIST", "file %s 5000 640", path)
	c.expect("5000", "map %s", path)
	c.expect("604", "mode")
	c.talkC(s)
	if err := s.Sync(); err != nil {
		t.Error(err)
	}
}
