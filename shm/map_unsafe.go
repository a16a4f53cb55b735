package shm

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"interlock/internal/region"
)

// mapFile maps size bytes of f, shared. The Ptr calls go to the kernel
// directly; unix.Mmap keeps every mapping of the process in one map behind
// one lock (P-G14).
func mapFile(f *os.File, size int64, readOnly bool) ([]byte, error) {
	prot := unix.PROT_READ | unix.PROT_WRITE
	if readOnly {
		prot = unix.PROT_READ
	}
	p, err := unix.MmapPtr(int(f.Fd()), 0, nil, uintptr(size), prot, unix.MAP_SHARED)
	if err != nil {
		return nil, explainMmap(err, size)
	}
	region.Mapped()
	return unsafe.Slice((*byte)(p), size), nil
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
