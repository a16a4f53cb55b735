// Package unix stands in for golang.org/x/sys/unix: the system calls that the library
// makes for waiting, waking and knowing who lives.
package unix

import (
	"golang.org/x/sys/unix"

	"interlock/stress/internal/schedule/sim"
)

// Types.
type (
	Errno    = unix.Errno
	Signal   = unix.Signal
	Timespec = unix.Timespec
)

// Errors.
const (
	EAGAIN    = unix.EAGAIN
	ECANCELED = unix.ECANCELED
	EEXIST    = unix.EEXIST
	EFAULT    = unix.EFAULT
	EINTR     = unix.EINTR
	EINVAL    = unix.EINVAL
	ENOSYS    = unix.ENOSYS
	EPERM     = unix.EPERM
	ESRCH     = unix.ESRCH
	ETIMEDOUT = unix.ETIMEDOUT
)

// Numbers.
const (
	CLOCK_MONOTONIC     = unix.CLOCK_MONOTONIC
	MAP_ANONYMOUS       = unix.MAP_ANONYMOUS
	MAP_FIXED_NOREPLACE = unix.MAP_FIXED_NOREPLACE
	MAP_PRIVATE         = unix.MAP_PRIVATE
	PROT_READ           = unix.PROT_READ
	PROT_WRITE          = unix.PROT_WRITE
	PR_SET_NAME         = unix.PR_SET_NAME
	SIGKILL             = unix.SIGKILL
	SIGURG              = unix.SIGURG

	SYS_CLOCK_GETTIME   = unix.SYS_CLOCK_GETTIME
	SYS_FUTEX           = unix.SYS_FUTEX
	SYS_FUTEX_WAITV     = unix.SYS_FUTEX_WAITV
	SYS_MMAP            = unix.SYS_MMAP
	SYS_MUNMAP          = unix.SYS_MUNMAP
	SYS_SCHED_YIELD     = unix.SYS_SCHED_YIELD
	SYS_SET_ROBUST_LIST = unix.SYS_SET_ROBUST_LIST
)

// NsecToTimespec converts.
func NsecToTimespec(n int64) Timespec { return unix.NsecToTimespec(n) }

// Syscall6 makes a system call.
//
//go:uintptrescapes
func Syscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, errno Errno) {
	switch trap {
	case SYS_FUTEX:
		r1, errno = sim.FutexCall(a1, int(a2), a3, a4, a5, a6)
	case SYS_FUTEX_WAITV:
		r1, errno = sim.FutexWaitv(a1, a2, a3, a4)
	case SYS_CLOCK_GETTIME:
		errno = sim.ClockGettime(a2)
	case SYS_SCHED_YIELD:
		sim.Yield()
	case SYS_MMAP:
		r1, errno = sim.Mmap(a1)
	case SYS_MUNMAP:
		sim.Munmap(a1)
	case SYS_SET_ROBUST_LIST:
		errno = sim.SetRobustList(a1)
	default:
		errno = ENOSYS
	}
	return r1, 0, errno
}

// RawSyscall6 is Syscall6.
//
//go:uintptrescapes
func RawSyscall6(trap, a1, a2, a3, a4, a5, a6 uintptr) (r1, r2 uintptr, errno Errno) {
	return Syscall6(trap, a1, a2, a3, a4, a5, a6)
}

// Syscall is Syscall6 with fewer arguments.
//
//go:uintptrescapes
func Syscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, errno Errno) {
	return Syscall6(trap, a1, a2, a3, 0, 0, 0)
}

// RawSyscall is Syscall.
//
//go:uintptrescapes
func RawSyscall(trap, a1, a2, a3 uintptr) (r1, r2 uintptr, errno Errno) {
	return Syscall6(trap, a1, a2, a3, 0, 0, 0)
}

// Getpid is the current process's ID.
func Getpid() int { return sim.Getpid() }

// Gettid is the current thread's ID.
func Gettid() int { return sim.Gettid() }

// Kill asks whether a process exists that has a thread of this ID.
func Kill(tid int, signal Signal) error { return asError(sim.Tgkill(0, tid, signal)) }

// Tgkill sends a signal to a thread.
func Tgkill(pid, tid int, signal Signal) error { return asError(sim.Tgkill(pid, tid, signal)) }

func asError(errno Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// Prctl does nothing.
func Prctl(option int, a, b, c, d uintptr) error { return nil }

// A Stat_t has an inode number.
type Stat_t struct{ Ino uint64 }

// Stat says that all processes are in one PID namespace.
func Stat(path string, st *Stat_t) error {
	st.Ino = 7
	return nil
}
