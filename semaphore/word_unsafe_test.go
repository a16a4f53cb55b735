package semaphore

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"interlock/futex"
	"interlock/internal/region"
)

// sem is the semaphore at the start of a mapping.
func sem(mem []byte) *Semaphore { return overlay(mem) }

// count is the 64-bit counter at offset off of a mapping.
func count(mem []byte, off int) *atomic.Int64 {
	return (*atomic.Int64)(unsafe.Pointer(&mem[off]))
}

// readOnly maps the first page of f without write permission until the test's
// end, and announces that.
func readOnly(t *testing.T, f *os.File) []byte {
	t.Helper()
	mem, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	lo, hi := span(mem)
	region.AddReadOnly(lo, hi)
	t.Cleanup(func() {
		if err := region.Detach(lo, hi); err != nil {
			t.Error(err)
		}
		unix.Munmap(mem)
	})
	return mem
}

// chaos wakes everybody who sleeps on s, for no reason.
func chaos(s *Semaphore) { _, _ = futex.Wake(s.futex(), 1<<31-1) }

// asNobody calls f on a thread that has another user's identity, and ends with it.
func asNobody(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		// The raw calls change one thread, those of package syscall all.
		for _, call := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
			if _, _, errno := unix.RawSyscall(call, 65534, 65534, 65534); errno != 0 {
				done <- errno
				return
			}
		}
		done <- f()
	}()
	return <-done
}
