package proctest

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/region"
)

// Memfd makes shared memory of size zero bytes and maps it here. Give the file to
// children with the option Files; they map it with Child.Memory.
//
// The test's end unmaps it. Whatever this process still has in it then (a held
// lock, a waiter) fails the test: unmapping it would be P-K4.
func Memfd(t testing.TB, size int) (*os.File, []byte) {
	t.Helper()
	fd, err := unix.MemfdCreate(t.Name(), unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatalf("memfd_create: %v", err)
	}
	f := os.NewFile(uintptr(fd), "memfd of "+t.Name())
	t.Cleanup(func() { f.Close() })
	// P-K5: ftruncate alone would turn a lack of memory into a SIGBUS later.
	if err := unix.Fallocate(fd, 0, 0, int64(size)); err != nil {
		t.Fatalf("fallocate %d bytes: %v", size, err)
	}
	return f, Map(t, f)
}

// Map maps a file here, shared and writable, whole, until the test's end. Mapping
// one file twice gives two addresses of the same memory.
func Map(t testing.TB, f *os.File) []byte {
	t.Helper()
	size, err := sizeOf(f)
	if err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatalf("mmap: %v", err)
	}
	t.Cleanup(func() { unmap(t, mem) })
	return mem
}

func unmap(t testing.TB, mem []byte) {
	lo := address(mem)
	if err := region.Detach(lo, lo+uintptr(len(mem))); err != nil {
		t.Errorf("the test ends with business in its memory: %v", err)
		return // stays mapped: a leak is better than a stranger's memory written to
	}
	if err := unix.Munmap(mem); err != nil {
		t.Errorf("munmap: %v", err)
	}
}

func sizeOf(f *os.File) (int, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return int(info.Size()), nil
}
