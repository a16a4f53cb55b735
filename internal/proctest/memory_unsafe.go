package proctest

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// address returns where a mapping starts.
func address(mem []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(mem))) }

// shift is by how many bytes this process moves its mappings: by its pid, so that
// processes differ even where address randomisation is off.
func shift() int {
	const steps = 512
	return (1 + os.Getpid()%steps) * os.Getpagesize()
}

// mapElsewhere maps the whole file at an address of this process's own. It
// reserves room, lets the kernel say where, and maps inside at an offset. The
// room is of constant size: of varying size it would undo the offset, since the
// kernel places mappings from the top down.
func mapElsewhere(f *os.File) ([]byte, error) {
	size, err := sizeOf(f)
	if err != nil {
		return nil, err
	}
	const most = 1024 // pages, more than shift returns
	room, err := unix.MmapPtr(-1, 0, nil, uintptr(size+most*os.Getpagesize()),
		unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve room for %d bytes: %w", size, err)
	}
	at := unsafe.Add(room, shift())
	_, err = unix.MmapPtr(int(f.Fd()), 0, at, uintptr(size),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return unsafe.Slice((*byte)(at), size), nil
}
