package futex

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls, one function each. Operation numbers are the kernel's
// (include/uapi/linux/futex.h); x/sys has the call numbers only (P-G11).
const (
	opWait       = 0
	opWake       = 1
	opCmpRequeue = 4
	opWakeOp     = 5
	opWaitBitset = 9 // like opWait, with an absolute CLOCK_MONOTONIC deadline (P-G12)
	opPrivate    = 128

	bitsetAny = 0xffffffff
	anyCount  = 1<<31 - 1

	// wakeOpAddZero: *uaddr2 += 0, and wake on uaddr2 if the old value was -1 (the
	// kernel extends the sign of these 12 bits): no lock word is all ones, and one
	// sleeper that wakes for nothing does no harm.
	wakeOpAddZero = 1<<28 | 0<<24 | 0<<12 | 0xfff

	waitvU32 = 2 // FUTEX2_SIZE_U32
)

// sysWait blocks: Syscall, not RawSyscall, so that the scheduler can take the
// P away and the collector run (P-G3).
func sysWait(addr *atomic.Uint32, val uint32) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), opWait, uintptr(val), 0, 0, 0)
	return errno
}

// sysWaitUntil is sysWait that ends with ETIMEDOUT at a time in nanoseconds of
// CLOCK_MONOTONIC (P-G12).
func sysWaitUntil(addr *atomic.Uint32, val uint32, until int64) unix.Errno {
	ts := unix.NsecToTimespec(until)
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), opWaitBitset, uintptr(val),
		uintptr(unsafe.Pointer(&ts)), 0, bitsetAny)
	return errno
}

// sysNow is the time in nanoseconds of CLOCK_MONOTONIC.
func sysNow() (int64, unix.Errno) {
	var ts unix.Timespec
	_, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano(), errno
}

// sysWake never blocks, so it keeps its P: RawSyscall is cheaper (P-G3).
func sysWake(addr *atomic.Uint32, n int) (int, unix.Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), opWake, uintptr(n), 0, 0, 0)
	return int(r), errno
}

func sysRequeue(addr *atomic.Uint32, val uint32, wake int, to *atomic.Uint32, move int) (int, unix.Errno) {
	r, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), opCmpRequeue, uintptr(wake),
		uintptr(move), uintptr(unsafe.Pointer(to)), uintptr(val))
	return int(r), errno
}

// sysTouch adds zero to the word inside the kernel, which reports a fault as an
// error where a store of ours would kill the process. The word that is woken
// by the same call is a dummy of ours.
func sysTouch(addr *atomic.Uint32) unix.Errno {
	dummy := new(atomic.Uint32)
	_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(dummy)), opWakeOp, 1,
		0, uintptr(unsafe.Pointer(addr)), wakeOpAddZero)
	return errno
}

// sysWakePrivate rouses a Sleeper of this process.
func sysWakePrivate(state *atomic.Uint32) {
	// private: the word is on this process's heap, no other process can see it
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(state)), opWake|opPrivate, anyCount, 0, 0, 0)
}

// waitv is the kernel's struct futex_waitv.
type waitv struct {
	val   uint64
	addr  uint64
	flags uint32
	_     uint32
}

func onShared(addr *atomic.Uint32, val uint32) waitv {
	return waitv{val: uint64(val), addr: uint64(uintptr(unsafe.Pointer(addr))), flags: waitvU32}
}

// sysProbeWaitv returns EINVAL where futex_waitv is known: a vector of nothing.
func sysProbeWaitv() unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_FUTEX_WAITV, 0, 0, 0, 0, 0, 0)
	return errno
}

// sysWaitv sleeps on v, the first of which it makes the Sleeper's own word, until
// one is woken. It returns the index of the last that was; EAGAIN if a word had
// another value; ETIMEDOUT at a time in nanoseconds of CLOCK_MONOTONIC. Words on
// the heap the caller keeps alive.
func sysWaitv(v []waitv, own *atomic.Uint32, val uint32, until int64) (i int, errno unix.Errno) {
	var timeout *unix.Timespec
	if until != forever {
		ts := unix.NsecToTimespec(until)
		timeout = &ts
	}
	// private: the Sleeper's own word
	v[0] = waitv{val: uint64(val), addr: uint64(uintptr(unsafe.Pointer(own))), flags: waitvU32 | opPrivate}
	r, _, errno := unix.Syscall6(unix.SYS_FUTEX_WAITV, uintptr(unsafe.Pointer(&v[0])), uintptr(len(v)), 0,
		uintptr(unsafe.Pointer(timeout)), unix.CLOCK_MONOTONIC, 0)
	runtime.KeepAlive(own)
	return int(r), errno
}
