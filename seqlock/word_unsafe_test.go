package seqlock

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"interlock/internal/region"
)

// lay is a value of type S at the start of a mapping, which must hold it.
func lay[S any](mem []byte) *S {
	s := (*S)(unsafe.Pointer(unsafe.SliceData(mem)))
	if unsafe.Sizeof(*s) > uintptr(len(mem)) {
		panic("the mapping is too small")
	}
	return s
}

func sizeOf[S any]() int { var s S; return int(unsafe.Sizeof(s)) }

// readOnly maps f without write permission until the test's end; announced or
// not, as shm would.
func readOnly(t *testing.T, f *os.File, size int, announced bool) []byte {
	t.Helper()
	mem, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	lo := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	if announced {
		region.AddReadOnly(lo, lo+uintptr(len(mem)))
	}
	t.Cleanup(func() {
		if err := region.Detach(lo, lo+uintptr(len(mem))); err != nil {
			t.Error(err)
		}
		unix.Munmap(mem)
	})
	return mem
}
