// What holds when a peer makes an object shorter (T69, P-K6): to touch what is
// missing is a panic that can be recovered from, of every kind of segment that can
// be made shorter; Truncated says so; other segments go on; after Close the address
// is contained no longer. Seals make it impossible.
package shm

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/sigbus"
)

func TestATruncatedSegment(t *testing.T) { // T69, P-K6
	const size = 1 << 17
	path := filepath.Join(t.TempDir(), "file")
	name := newName(t)
	for kind, make := range map[string]func() (*Segment, error){
		"name":  func() (*Segment, error) { return Create(name, size) },
		"memfd": func() (*Segment, error) { return Memfd("truncated", size) },
		"file":  func() (*Segment, error) { return OpenFile(path, size, CreateFile) },
		"map of an open file": func() (*Segment, error) {
			f, err := os.Create(path + " that is open")
			if err != nil {
				return nil, err
			}
			defer f.Close()
			proctest.Truncate(t, f, size)
			return FromFile(f)
		},
	} {
		t.Run(kind, func(t *testing.T) {
			s, err := make()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			Remove(name)
			mem := s.Bytes()
			mem[0], mem[size-1] = 1, 1
			if err := s.Truncated(); err != nil {
				t.Error(err)
			}
			proctest.Truncate(t, s.File(), size/2)
			if err := s.Truncated(); !errors.Is(err, ErrTruncated) {
				t.Errorf("Truncated: %v", err)
			}
			mem[0] = 2
			for range 3 {
				proctest.Gone(t, "a write", func() error { mem[size-1] = 2; return nil })
				proctest.Gone(t, "a read", func() error { _ = string(mem); return nil })
			}
			lo, _ := span(mem)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if sigbus.Contains(lo) {
				t.Error("the address is contained although the segment is closed")
			}
			if err := s.Truncated(); !errors.Is(err, ErrClosed) {
				t.Errorf("Truncated, closed: %v", err)
			}
		})
	}
}

// Memory that the caller mapped is known from the first typed view.
func TestAViewOfTruncatedMemory(t *testing.T) { // T69
	f, mem := proctest.Memfd(t, os.Getpagesize())
	v, err := At[uint64](mem, 8)
	if err != nil {
		t.Fatal(err)
	}
	proctest.Truncate(t, f, 0)
	proctest.Gone(t, "a write", func() error { *v = 1; return nil })
}

func TestSealedMemoryIsNotTruncated(t *testing.T) { // T69, T71
	s, err := Memfd("sealed", 8192)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Seal(SealShrink); err != nil {
		t.Fatal(err)
	}
	if err := s.File().Truncate(4096); !errors.Is(err, unix.EPERM) {
		t.Errorf("truncate: %v", err)
	}
	if err := s.Truncated(); err != nil {
		t.Error(err)
	}
}
