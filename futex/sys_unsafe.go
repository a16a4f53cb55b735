package futex

import (
	"runtime"
	"sync/atomic"
	"time"
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

	slice = 10 * time.Millisecond
)

func p(addr *atomic.Uint32) uintptr { return uintptr(unsafe.Pointer(addr)) }

// sysWait blocks: Syscall, not RawSyscall, so that the scheduler can take the
// P away and the collector run (P-G3).
func sysWait(addr *atomic.Uint32, val uint32) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), opWait, uintptr(val), 0, 0, 0)
	return errno
}

func sysWaitFor(addr *atomic.Uint32, val uint32, d time.Duration) unix.Errno {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return unix.EINVAL
	}
	ts = unix.NsecToTimespec(ts.Nano() + int64(d))
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), opWaitBitset, uintptr(val),
		uintptr(unsafe.Pointer(&ts)), 0, bitsetAny)
	return errno
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

type waitv struct {
	val   uint64
	addr  uint64
	flags uint32
	_     uint32
}

// sysWaitBoth sleeps until either word is woken. It returns 0 if a wake of addr
// was used up, ETIMEDOUT if only state was woken, EAGAIN if either word had
// changed.
//
// The order of the two matters: the kernel reports the last word that was
// woken, so with the shared word last a wake of it is never hidden behind a
// rouse that came at the same moment (P-K17).
func sysWaitBoth(addr *atomic.Uint32, val uint32, state *atomic.Uint32, expect uint32) unix.Errno {
	v := [2]waitv{
		// private: the Sleeper's own word
		{val: uint64(expect), addr: uint64(p(state)), flags: waitvU32 | opPrivate},
		{val: uint64(val), addr: uint64(p(addr)), flags: waitvU32},
	}
	i, _, errno := unix.Syscall6(unix.SYS_FUTEX_WAITV, uintptr(unsafe.Pointer(&v)), 2, 0, 0, 0, 0)
	runtime.KeepAlive(state)
	runtime.KeepAlive(addr)
	if errno == 0 && i == 0 {
		return unix.ETIMEDOUT
	}
	return errno
}
