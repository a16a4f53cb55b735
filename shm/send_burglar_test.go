package shm

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const keep = unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE

// A burglary tries to change the object behind fd; nil means that it could.
// "+" is through a descriptor that was got by another way.
var burglaries = []struct {
	way string
	try func(fd int, b *burglar) error
}{
	{"write", func(fd int, _ *burglar) error { return errOf(unix.Pwrite(fd, []byte("!"), 0)) }},
	{"map", func(fd int, _ *burglar) error { return storeInto(fd) }},
	{"mprotect", mprotect},
	{"madvise(MADV_REMOVE)", func(fd int, _ *burglar) error {
		return withView(fd, func(mem []byte) error { return unix.Madvise(mem, unix.MADV_REMOVE) })
	}},
	{"/proc/self/mem", func(fd int, _ *burglar) error {
		return withView(fd, func(mem []byte) error { lo, _ := span(mem); return pokeInto("/proc/self/mem", int64(lo)) })
	}},
	{"sendfile", func(fd int, _ *burglar) error {
		f, err := os.Open("/proc/self/exe")
		if err != nil {
			return err
		}
		defer f.Close()
		return errOf(unix.Sendfile(fd, int(f.Fd()), nil, 1))
	}},
	{"F_SETFL", func(fd int, _ *burglar) error {
		unix.FcntlInt(uintptr(fd), unix.F_SETFL, unix.O_RDWR)
		return errOf(unix.Pwrite(fd, []byte("!"), 0))
	}},
	{"punch a hole", func(fd int, _ *burglar) error { return unix.Fallocate(fd, keep, 0, 4096) }},
	{"grow", func(fd int, _ *burglar) error { return unix.Ftruncate(fd, 3*4096) }},
	{"shrink", func(fd int, _ *burglar) error { return unix.Ftruncate(fd, 4096) }},
	{"seal", func(fd int, _ *burglar) error {
		return errOf(unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, 0)) // none, or the rest could not be tried
	}},
}

// doors are the ways to another descriptor of the object.
var doors = []struct {
	name string
	path func(fd int, b *burglar) (string, error)
}{
	{"", nil}, // the one that was given
	{"reopened", func(fd int, _ *burglar) (string, error) { return fmt.Sprintf("/proc/self/fd/%d", fd), nil }},
	{"reopened after chmod", func(fd int, _ *burglar) (string, error) {
		return fmt.Sprintf("/proc/self/fd/%d", fd), unix.Fchmod(fd, 0o666)
	}},
	{"the maker's", func(_ int, b *burglar) (string, error) { return fmt.Sprintf("/proc/%d/fd/%d", b.maker, b.fd), nil }},
	{"by map_files", func(fd int, _ *burglar) (path string, err error) {
		mem, err := unix.Mmap(fd, 0, 8192, unix.PROT_READ, unix.MAP_SHARED) // stays
		if err == nil {
			lo, hi := span(mem)
			path = fmt.Sprintf("/proc/self/map_files/%x-%x", lo, hi)
		}
		return path, err
	}},
}

type burglar struct {
	maker, fd int // the maker and its descriptor
}

// throughTheMaker is the way that nothing here closes, for who may trace it.
const throughTheMaker = "/proc/PID/mem"

func storeInto(fd int) error {
	mem, err := unix.Mmap(fd, 0, 8192, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	mem[0] = '!'
	return unix.Munmap(mem)
}

func withView(fd int, f func(mem []byte) error) error {
	mem, err := unix.Mmap(fd, 0, 8192, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return errors.Join(f(mem), unix.Munmap(mem))
}

func mprotect(fd int, _ *burglar) error {
	return withView(fd, func(mem []byte) error {
		err := unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE)
		if err == nil {
			mem[0] = '!'
		}
		return err
	})
}

func pokeInto(path string, addr int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return errOf(f.WriteAt([]byte("!"), addr))
}

func init() {
	// Descriptor 3 is the object. arg: the maker's descriptor of it, and an
	// address in its mapping. Says what it could do.
	children["burglar"] = func(arg []string) error {
		n, err := strconv.Atoi(arg[0])
		if err != nil {
			return err
		}
		b := &burglar{maker: os.Getppid(), fd: n}
		for _, door := range doors {
			fd := 3
			if door.name != "" {
				path, err := door.path(3, b)
				if err == nil {
					fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
				}
				if err != nil {
					continue
				}
			}
			for _, x := range burglaries {
				if x.try(fd, b) == nil {
					fmt.Println(strings.TrimSpace(door.name + " " + x.way))
				}
			}
			unix.Ftruncate(3, 8192)
		}
		addr, err := strconv.ParseInt(arg[1], 10, 64)
		if pokeInto(fmt.Sprintf("/proc/%d/mem", b.maker), addr) == nil {
			fmt.Println(throughTheMaker)
		}
		return err
	}
}
