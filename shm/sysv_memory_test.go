// What holds for where a System V segment lies, and on what:
//   - at the address asked for, rounded if asked for, and never over anything else;
//   - SysVLock and a first touch are two things; Populate is all touches at once;
//   - huge pages are mapped whole, and Size is what was asked for.
package shm

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/region"
)

// freeAddress returns a page-aligned address where pages are free at present.
func freeAddress(t testing.TB, pages int) uintptr {
	t.Helper()
	size := pages * os.Getpagesize()
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	lo, _ := span(mem)
	if err := unix.Munmap(mem); err != nil {
		t.Fatal(err)
	}
	return lo
}

// attachAt tries until no other thread has taken the free address meanwhile.
func attachAt(t testing.TB, id int, off uintptr, opts ...Option) (s *Segment, free uintptr) {
	t.Helper()
	for range 100 {
		free = freeAddress(t, 4)
		s, err := SysVOpenID(id, append(opts, AtAddress(free+off))...)
		if err == nil {
			t.Cleanup(func() { closeNow(t, s) })
			return s, free
		}
		want(t, err, ErrAddress)
	}
	t.Fatal("never attached")
	return nil, 0
}

func TestSysVAtAddress(t *testing.T) { // T75
	page := uintptr(os.Getpagesize())
	s, id := newSysV(t, 100)
	for _, try := range []struct{ off, at uintptr }{{0, 0}, {page, page}, {123, 0}, {2*page - 1, page}} {
		var opts []Option
		if try.off%page != 0 {
			opts = append(opts, Round)
		}
		r, free := attachAt(t, id, try.off, opts...)
		if lo, _ := span(r.Bytes()); lo != free+try.at {
			t.Errorf("at %#x, want %#x", lo, free+try.at)
		}
		s.Bytes()[0]++
		if r.Bytes()[0] != s.Bytes()[0] {
			t.Error("not shared")
		}
	}
	r, _ := attachAt(t, id, 0, ReadOnly)
	if lo, _ := span(r.Bytes()); !region.IsReadOnly(lo) {
		t.Error("not noted as read-only")
	}
	made := (*Segment)(nil)
	proctest.Until(t, "a free address", func() bool {
		var err error
		made, err = SysVCreate(newKey(t), 64, AtAddress(freeAddress(t, 1)))
		return err == nil
	})
	closeNow(t, made)
}

func TestSysVAddressInUse(t *testing.T) { // T75
	page := uintptr(os.Getpagesize())
	_, id := newSysV(t, 100)
	_, big := newSysV(t, int64(2*page))
	s, free := attachAt(t, id, 2*page) // with free pages before it
	lo, _ := span(s.Bytes())
	s.Bytes()[0] = 9
	for _, at := range []uintptr{lo, free + page} { // wholly, and with its second page
		err := failed(SysVOpenID(big, AtAddress(at)))
		want(t, err, ErrAddress, fmt.Sprintf("%#x", at), "in use by")
		if at == lo && !strings.Contains(err.Error(), "/SYSV00000000") {
			t.Error(err)
		}
		want(t, failed(SysVCreate(Private, int64(2*page), AtAddress(at+7), Round)), ErrAddress, fmt.Sprintf("%#x", at))
	}
	if s.Bytes()[0] != 9 {
		t.Error("the memory in the way was replaced")
	}
	heap := new([1 << 16]byte) // Go's own
	at, _ := span(heap[:])
	want(t, failed(SysVOpenID(big, AtAddress(at), Round)), ErrAddress, "in use by")
	want(t, failed(SysVOpenID(big, AtAddress(1<<62))), ErrAddress, "forbids")
	want(t, failed(SysVOpenID(big, AtAddress(-page))), ErrAddress)
}

// inMemory is how many bytes of a segment have memory, and how many bytes this
// process has locked.
func inMemory(t testing.TB, id int) (present, locked int) {
	t.Helper()
	for line := range strings.Lines(string(must[[]byte](t)(os.ReadFile("/proc/sysvipc/shm")))) {
		if f := strings.Fields(line); f[1] == fmt.Sprint(id) {
			fmt.Sscan(f[14], &present)
		}
	}
	for line := range strings.Lines(string(must[[]byte](t)(os.ReadFile("/proc/self/status")))) {
		fmt.Sscanf(line, "VmLck: %d kB", &locked)
	}
	return present, locked << 10
}

func TestSysVPopulateAndMlock(t *testing.T) { // T75
	size := 5 * os.Getpagesize()
	s, id := newSysV(t, int64(size))
	if err := SysVLock(id, true); err != nil {
		t.Fatal(err)
	}
	present, before := inMemory(t, id)
	if present != 0 {
		t.Errorf("%d bytes are there before the first touch; SysVLock is no placement", present)
	}
	closeNow(t, must[*Segment](t)(SysVOpenID(id, Populate)))
	if present, _ = inMemory(t, id); present != size {
		t.Errorf("%d bytes are there after Populate, want %d", present, size)
	}
	l := must[*Segment](t)(SysVOpenID(id, Mlock))
	if _, locked := inMemory(t, id); locked != before+size {
		t.Errorf("Mlock has locked %d bytes, want %d", locked-before, size)
	}
	closeNow(t, l)
	if _, locked := inMemory(t, id); locked != before {
		t.Errorf("Close leaves %d bytes locked", locked-before)
	}
	if s.Bytes()[0] != 0 {
		t.Error("written to")
	}
}

func TestSysVHugePages(t *testing.T) { // T75
	const size = 2<<20 + 100
	key := newKey(t)
	s, err := SysVCreate(key, size, HugePages)
	if err != nil {
		why := unix.ENOMEM
		if os.Getuid() != 0 {
			why = unix.EPERM
		} else if freeHugePages() != "0" {
			t.Error(err)
		}
		if refusal := refused(err, why, fmt.Sprint(size), "vm.nr_hugepages", "hugetlb_shm_group"); refusal != nil {
			t.Error(refusal)
		}
		want(t, failed(SysVID(key)), ErrNotExist)
		t.Skip("no huge pages are free, or not for this user; only the refusal was looked at")
	}
	id, _ := s.SysVID()
	lo, _ := span(s.Bytes())
	if s.Size() != size || len(s.Bytes()) != size || lo%(2<<20) != 0 || !mapped(t, lo+2*size-300) {
		t.Errorf("%d bytes at %#x", s.Size(), lo)
	}
	s.Bytes()[size-1] = 3
	o := must[*Segment](t)(SysVOpen(key))
	if o.Bytes()[size-1] != 3 {
		t.Error("not shared")
	}
	if err := SysVRemove(id); err != nil {
		t.Error(err)
	}
	closeNow(t, o)
	closeNow(t, s)
	if mapped(t, lo) || !errors.Is(failed(SysVStat(id)), ErrNotExist) {
		t.Error("something is left after Close")
	}
}
