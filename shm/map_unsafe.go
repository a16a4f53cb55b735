package shm

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapFile maps size bytes of f as c asks, shared. The Ptr calls go to the
// kernel directly; unix.Mmap keeps every mapping of the process in one map
// behind one lock (P-G14).
func mapFile(f *os.File, size int64, c *config) ([]byte, error) {
	prot, flags := unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED
	if c.readOnly {
		prot = unix.PROT_READ
		var done func()
		f, done = harmless(f)
		defer done()
	}
	if c.populate {
		flags |= unix.MAP_POPULATE // all that kernels before 5.14 can do: see prepare
	}
	p, err := unix.MmapPtr(int(f.Fd()), 0, nil, uintptr(size), prot, flags)
	if err == unix.EPERM && c.readOnly && sealsOf(f)&SealWrite != 0 {
		// Before Linux 6.7 what is sealed against writing cannot be mapped
		// shared by a descriptor that is open for writing (P-K20). A private
		// mapping shows the same bytes: nobody can write others.
		flags = flags&^unix.MAP_SHARED | unix.MAP_PRIVATE
		p, err = unix.MmapPtr(int(f.Fd()), 0, nil, uintptr(size), prot, flags)
	}
	if err != nil {
		return nil, explainMmap(err, size)
	}
	return unsafe.Slice((*byte)(p), size), nil
}

// unmapFile unmaps mem, a mapping of f. Huge pages must be unmapped whole, and
// a foreign program's object may end inside one.
func unmapFile(mem []byte, f *os.File) error {
	err := unmap(mem)
	if err == unix.EINVAL {
		page := uintptr(pageSizeOf(f))
		whole := (uintptr(len(mem)) + page - 1) / page * page
		err = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(mem)), whole)
	}
	return err
}

func unmap(mem []byte) error {
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(mem)), uintptr(len(mem)))
}

// span is where a mapping lies, for package region.
func span(mem []byte) (lo, hi uintptr) {
	lo = uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	return lo, lo + uintptr(len(mem))
}

func explainMmap(err error, size int64) error {
	hint := ""
	switch {
	case errors.Is(err, unix.ENODEV):
		hint = "; its file system cannot map files shared: use one that can, such as tmpfs, ext4 or xfs"
	case errors.Is(err, unix.EACCES):
		hint = "; the descriptor is not open for reading and writing (reading is enough for shm.ReadOnly)"
	case errors.Is(err, unix.EPERM):
		hint = "; it may be sealed against writing: pass shm.ReadOnly"
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EAGAIN):
		hint = "; see ulimit -v, ulimit -l and /proc/sys/vm/max_map_count"
	}
	return fmt.Errorf("cannot map %d bytes: %w%s", size, err, hint)
}
