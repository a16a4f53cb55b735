package race_test

import (
	"fmt"
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/race"
	"interlock/internal/race/racetest"
	"interlock/shm"
)

var pageSize = os.Getpagesize()

const (
	readWrite = unix.PROT_READ | unix.PROT_WRITE
	shared    = unix.MAP_SHARED
)

// A pair is two addresses, and whether they are one place.
type pair struct {
	name string
	same bool
	make func(c *proctest.Child) (a, b uintptr)
}

func memfd(c *proctest.Child) int {
	fd, err := unix.MemfdCreate("two pages", unix.MFD_CLOEXEC)
	c.Check(err)
	c.Check(unix.Ftruncate(fd, int64(2*pageSize)))
	return fd
}

func mapAt(c *proctest.Child, fd, page, prot, flags int) uintptr {
	mem, err := unix.Mmap(fd, int64(page*pageSize), (2-page)*pageSize, prot, flags)
	c.Check(err)
	return racetest.Addr(mem)
}

func systemV(c *proctest.Child) int {
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, pageSize, unix.IPC_CREAT|0o600)
	c.Check(err)
	return id
}

// attach maps a System V segment, the last time so that it goes with the process.
func attach(c *proctest.Child, id int, last bool) uintptr {
	mem, err := unix.SysvShmAttach(id, 0, 0)
	c.Check(err)
	if last {
		_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
		c.Check(err)
	}
	return racetest.Addr(mem)
}

func open(c *proctest.Child, name string) uintptr {
	seg, err := shm.Open(name)
	c.Check(err)
	return racetest.Addr(seg.Bytes())
}

var pairs = []pair{
	{"a memfd mapped twice", true, func(c *proctest.Child) (a, b uintptr) {
		fd := memfd(c)
		return mapAt(c, fd, 0, readWrite, shared), mapAt(c, fd, 0, readWrite, shared)
	}},
	{"mapped from another page on", true, func(c *proctest.Child) (a, b uintptr) {
		fd := memfd(c)
		return mapAt(c, fd, 0, readWrite, shared) + uintptr(pageSize) + 8, mapAt(c, fd, 1, readWrite, shared) + 8
	}},
	{"mapped read-only as well", true, func(c *proctest.Child) (a, b uintptr) {
		fd := memfd(c)
		return mapAt(c, fd, 0, readWrite, shared), mapAt(c, fd, 0, unix.PROT_READ, shared)
	}},
	{"a removed file with two descriptors", true, func(c *proctest.Child) (a, b uintptr) {
		f, err := os.CreateTemp("", "two lines\n in its name")
		c.Check(err)
		c.Check(f.Truncate(int64(2 * pageSize)))
		g, err := os.OpenFile(f.Name(), os.O_RDWR, 0)
		c.Check(err)
		a = mapAt(c, int(f.Fd()), 0, readWrite, shared)
		c.Check(os.Remove(f.Name()))
		return a, mapAt(c, int(g.Fd()), 0, readWrite, shared)
	}},
	{"anonymous memory that mremap has doubled", true, func(c *proctest.Child) (a, b uintptr) {
		mem, err := unix.Mmap(-1, 0, pageSize, readWrite, shared|unix.MAP_ANON)
		c.Check(err)
		again, err := unix.MremapPtr(unsafe.Pointer(&mem[0]), 0, nil, uintptr(pageSize), unix.MREMAP_MAYMOVE)
		c.Check(err)
		return racetest.Addr(mem), uintptr(again)
	}},
	{"a System V segment attached twice", true, func(c *proctest.Child) (a, b uintptr) {
		id := systemV(c)
		return attach(c, id, false), attach(c, id, true)
	}},
	{"a segment of package shm opened twice", true, func(c *proctest.Child) (a, b uintptr) {
		name := fmt.Sprintf("interlock-race-%d", os.Getpid())
		seg, err := shm.Create(name, int64(pageSize))
		c.Check(err)
		a = racetest.Addr(seg.Bytes())
		b = open(c, name)
		c.Check(shm.Remove(name))
		return a, b
	}},
	{"two memfds", false, func(c *proctest.Child) (a, b uintptr) {
		return mapAt(c, memfd(c), 0, readWrite, shared), mapAt(c, memfd(c), 0, readWrite, shared)
	}},
	{"two System V segments", false, func(c *proctest.Child) (a, b uintptr) {
		return attach(c, systemV(c), true), attach(c, systemV(c), true)
	}},
	{"one memfd mapped privately, twice", false, func(c *proctest.Child) (a, b uintptr) {
		fd := memfd(c)
		return mapAt(c, fd, 0, readWrite, unix.MAP_PRIVATE), mapAt(c, fd, 0, readWrite, unix.MAP_PRIVATE)
	}},
	{"two places on the heap", false, func(c *proctest.Child) (a, b uintptr) {
		heap := new([2]uint64)
		return uintptr(unsafe.Pointer(&heap[0])), uintptr(unsafe.Pointer(&heap[1]))
	}},
	{"two places where nothing is", false, func(c *proctest.Child) (a, b uintptr) {
		return 0x1000, 0x2000
	}},
	{"without /proc, two addresses", false, func(c *proctest.Child) (a, b uintptr) {
		fd := memfd(c)
		a, b = mapAt(c, fd, 0, readWrite, shared), mapAt(c, fd, 0, readWrite, shared)
		c.Check(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{}))
		return a, b
	}},
	{"without /proc, one address", true, func(c *proctest.Child) (a, b uintptr) {
		a = mapAt(c, memfd(c), 0, readWrite, shared)
		c.Check(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{}))
		return a, a
	}},
}

func init() {
	for _, p := range pairs {
		proctest.Register(p.name, func(c *proctest.Child) {
			a, b := p.make(c)
			s := racetest.New(c)
			s.InTurn(
				func() { *s.Data = 1; race.Release(a) },
				func() { race.Acquire(b); *s.Data = 2 })
		})
	}
}

func TestOnePlaceHasOneShadow(t *testing.T) { // T60
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			if !race.Enabled {
				proctest.Excuse(p.name)
				t.Skip("needs -race")
			}
			racetest.Verdict(t, proctest.Start(t, p.name, proctest.MayRace()), !p.same)
		})
	}
}
