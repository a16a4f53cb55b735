package shm

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"interlock/internal/region"
)

func TestCreateOpenRemove(t *testing.T) {
	name := newName(t)
	if _, err := Open(name); !errors.Is(err, ErrNotExist) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) {
		t.Error(err)
	}
	if err := Remove(name); !errors.Is(err, ErrNotExist) {
		t.Error(err)
	}
	a := must[*Segment](t)(Create(name, 5000))
	if _, err := Create(name, 5000); !errors.Is(err, ErrExist) || !errors.Is(err, fs.ErrExist) {
		t.Error(err)
	}
	b := must[*Segment](t)(Open(name))
	if !bytes.Equal(b.Bytes(), make([]byte, 5000)) || b.Size() != 5000 {
		t.Error("not 5000 zeros")
	}
	a.Bytes()[4999] = 1
	if b.Bytes()[4999] != 1 {
		t.Error("not shared")
	}
	if fi, _ := a.File().Stat(); fi.Mode() != 0o600 {
		t.Errorf("mode %v", fi.Mode())
	}
	closeNow(t, a)
	closeNow(t, b)
	if err := Remove(name); err != nil {
		t.Error(err)
	}
}

// T74: two generations of a name never mix, and the old one knows.
func TestRemoveAndRecreate(t *testing.T) {
	name := newName(t)
	old := must[*Segment](t)(Create(name, 64))
	defer closeNow(t, old)
	old.Bytes()[0] = 1
	if err := errors.Join(old.Removed(), old.Sync(), Remove(name)); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{old.Removed(), old.Sync()} {
		if !errors.Is(err, ErrRemoved) {
			t.Error(err)
		}
	}
	now := must[*Segment](t)(Create(name, 64))
	defer closeNow(t, now)
	if now.Bytes()[0] != 0 || now.Removed() != nil || !errors.Is(old.Removed(), ErrRemoved) {
		t.Error("generations mix")
	}
	now.Bytes()[0] = 2
	if old.Bytes()[0] != 1 {
		t.Error("generations mix")
	}
	m := must[*Segment](t)(Memfd("x", 8))
	defer closeNow(t, m)
	f := must[*Segment](t)(FromFile(m.File()))
	defer closeNow(t, f)
	if err := errors.Join(m.Removed(), f.Removed(), m.Sync(), f.Sync()); err != nil {
		t.Error(err) // what never had a name was not removed
	}
}

// T78: Close twice, and everything after Close.
func TestClose(t *testing.T) {
	name := newName(t)
	s := must[*Segment](t)(Create(name, 64))
	lo, _ := span(s.Bytes())
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 100 {
				s.Sync()
				s.Removed()
				s.Bytes()
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if s.Close() != nil || s.Bytes() != nil || s.File() != nil || s.Size() != 64 {
		t.Error("after Close")
	}
	for _, err := range []error{s.Sync(), s.Removed()} {
		if !errors.Is(err, ErrClosed) || !errors.Is(err, fs.ErrClosed) {
			t.Error(err)
		}
	}
	if mapped(t, lo) {
		t.Error("still mapped")
	}
	again := must[*Segment](t)(Open(name)) // Close did not remove it
	closeNow(t, again)
	var zero Segment
	if zero.Close() != nil || zero.Bytes() != nil || !errors.Is(zero.Sync(), ErrClosed) {
		t.Error("the zero Segment is not a closed one")
	}
}

type tenant struct{ busy, forgot [][2]uintptr }

var theTenant tenant

func (tn *tenant) Busy(lo, hi uintptr) error {
	for _, b := range tn.busy {
		if b[0] < hi && lo < b[1] {
			return errBusyHere
		}
	}
	return nil
}
func (tn *tenant) Forget(lo, hi uintptr) { tn.forgot = append(tn.forgot, [2]uintptr{lo, hi}) }

var errBusyHere = errors.New("goroutine waits at 0x1234")

func init() { region.Register(&theTenant) }

func TestCloseWhileBusy(t *testing.T) {
	s := must[*Segment](t)(Create(newName(t), 64))
	lo, hi := span(s.Bytes())
	theTenant.busy = [][2]uintptr{{lo + 8, lo + 12}}
	for range 2 {
		err := s.Close()
		if !errors.Is(err, ErrBusy) || !errors.Is(err, region.ErrBusy) || !strings.Contains(err.Error(), "0x1234") {
			t.Fatal(err)
		}
		s.Bytes()[0]++ // still there
	}
	theTenant.busy = nil
	theTenant.forgot = nil
	closeNow(t, s)
	if len(theTenant.forgot) != 1 || theTenant.forgot[0] != [2]uintptr{lo, hi} {
		t.Errorf("forgot %v, want %x-%x", theTenant.forgot, lo, hi)
	}
}

// T79: a Segment without Close stays mapped, for a pointer into it may live.
func TestDroppedSegmentStaysMapped(t *testing.T) {
	name := newName(t)
	type T struct{ A, B uint64 }
	p := func() *T {
		p, s, err := Share[T](context.Background(), name, func(v *T) error { v.B = 9; return nil })
		if err != nil {
			t.Fatal(err)
		}
		mem := s.Bytes() // does not keep s alive
		t.Cleanup(func() { unmap(mem) })
		return p
	}()
	for range 5 {
		runtime.GC()
		if p.B != 9 {
			t.Fatal("gone")
		}
	}
}

func TestReadOnly(t *testing.T) {
	name := newName(t)
	s := must[*Segment](t)(Create(name, 4096, Mode(0o400)))
	defer closeNow(t, s)
	r := must[*Segment](t)(Open(name, ReadOnly))
	lo, hi := span(r.Bytes())
	if !region.IsReadOnly(lo) || !region.IsReadOnly(hi-1) || region.IsReadOnly(hi) {
		t.Error("not noted as read-only")
	}
	if wlo, _ := span(s.Bytes()); region.IsReadOnly(wlo) {
		t.Error("a writable mapping noted as read-only")
	}
	s.Bytes()[1] = 5
	if r.Bytes()[1] != 5 {
		t.Error("not shared")
	}
	if !strings.HasPrefix(perms(t, lo), "r--s") {
		t.Errorf("mapped %s", perms(t, lo))
	}
	closeNow(t, r)
	if region.IsReadOnly(lo) {
		t.Error("noted as read-only after Close")
	}
	missing := newName(t)
	if _, err := OpenOrCreate(context.Background(), missing, 8, nil, ReadOnly); !errors.Is(err, ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := Share[uint64](context.Background(), missing, nil, ReadOnly); !errors.Is(err, ErrNotExist) {
		t.Error(err)
	}
	must[*uint64](t)(first(Share[uint64](context.Background(), missing, nil)))
	must[*uint64](t)(first(Share[uint64](context.Background(), missing, nil, ReadOnly)))
}

func first[T any](p *T, s *Segment, err error) (*T, error) { return p, err }

// mapped and perms look into /proc/self/maps.
func mapped(t testing.TB, addr uintptr) bool { return perms(t, addr) != "" }

func perms(t testing.TB, addr uintptr) string {
	b := must[[]byte](t)(os.ReadFile("/proc/self/maps"))
	for _, line := range strings.Split(string(b), "\n") {
		var lo, hi uintptr
		var p string
		if n, _ := sscan(line, &lo, &hi, &p); n == 3 && lo <= addr && addr < hi {
			return p
		}
	}
	return ""
}

// T73: no descriptor and no mapping is lost, on success or on failure.
func TestNoLeaks(t *testing.T) {
	name, dir := newName(t), t.TempDir()
	type A struct{ X uint64 }
	type B struct{ X uint32 }
	bang := errors.New("bang")
	path := filepath.Join(dir, "f")
	round := func() {
		ctx := context.Background()
		s1, e1 := Create(name, 8192)
		_, e2 := Create(name, 8192)
		s3, e3 := Open(name)
		_, e4 := OpenOrCreate(ctx, name, 1<<20, nil)
		e5 := Remove(name)
		_, e6 := OpenOrCreate(ctx, name, 64, func(*Segment) error { return bang })
		_, s7, e7 := Share[A](ctx, name, nil)
		_, _, e8 := Share[B](ctx, name, nil)
		e9 := Remove(name)
		s10, e10 := Memfd("x", 64)
		s11, e11 := FromFile(s10.File())
		s12, e12 := OpenFile(path, 64, CreateFile)
		_, e13 := OpenFile(path, 65)
		_, e14 := Create(name, 1<<60)
		if err := errors.Join(e1, e3, e5, e7, e9, e10, e11, e12); err != nil {
			t.Fatal(err)
		}
		for i, want := range map[error]error{e2: ErrExist, e4: ErrTruncated, e6: bang, e8: ErrLayout, e13: ErrTruncated} {
			if !errors.Is(i, want) {
				t.Fatal(i, want)
			}
		}
		_, e15 := Memfd("x", 1<<60)
		if e14 == nil || e15 == nil {
			t.Fatal("an exabyte")
		}
		for _, s := range []*Segment{s1, s3, s7, s10, s11, s12} {
			closeNow(t, s)
		}
	}
	round()
	fds, maps := counts(t)
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	for range rounds {
		round()
	}
	if f, m := counts(t); f > fds || m > maps+10 { // the runtime maps a little itself
		t.Errorf("descriptors %d -> %d, mappings %d -> %d in %d rounds", fds, f, maps, m, rounds)
	}
}

func counts(t testing.TB) (fds, maps int) {
	runtime.GC()
	e := must[[]os.DirEntry](t)(os.ReadDir("/proc/self/fd"))
	b := must[[]byte](t)(os.ReadFile("/proc/self/maps"))
	return len(e), bytes.Count(b, []byte("\n"))
}
