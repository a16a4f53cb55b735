package futex

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ErrChanged: the word did not hold the expected value, so Requeue did nothing.
var ErrChanged = errors.New("futex: the word does not hold the expected value")

// Wait sleeps while *addr is val, until a Wake on the same word. It returns nil
// when woken and also when *addr is not val: look again in both cases. The
// error, for errors.Is, is unix.EFAULT for an address that is not mapped and
// unix.EINVAL for one that is not a multiple of four.
//
// The goroutine's thread sleeps in the kernel meanwhile (P-G2). A signal does
// not end the wait.
//
// Ordering: what the waker did before it changed the word is visible once the
// waiter reads the changed word.
func Wait(addr *atomic.Uint32, val uint32) error {
	for {
		switch errno := sysWait(addr, val); errno {
		case 0, unix.EAGAIN:
			return nil
		case unix.EINTR:
			// Go's own preemption signals, or a handler without SA_RESTART (P-G6).
		default:
			return failed("wait", addr, errno)
		}
	}
}

// WaitContext is Wait that also ends, with ctx.Err(), when ctx is done. It
// never takes a wake and reports a cancellation: an error means that no wake
// was used up, so a Wake(addr, 1) sent at the same moment goes to another
// sleeper or finds nobody.
func WaitContext(ctx context.Context, addr *atomic.Uint32, val uint32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ctx.Done() == nil {
		return Wait(addr, val)
	}
	s := new(Sleeper)
	stop := context.AfterFunc(ctx, s.Rouse)
	defer stop()
	for {
		why, err := s.Sleep(addr, val)
		if err != nil {
			return err
		}
		if why == Woken || why == Changed {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// Wake rouses up to n sleepers of the word, in the order in which they went to
// sleep, and reports how many. It never blocks. n <= 0 wakes nobody.
func Wake(addr *atomic.Uint32, n int) (woken int, err error) {
	if n <= 0 {
		return 0, nil // the kernel would wake one even for 0 (P-K21)
	}
	woken, errno := sysWake(addr, clamp(n))
	if errno != 0 {
		return 0, failed("wake", addr, errno)
	}
	return woken, nil
}

// Requeue wakes up to wake sleepers of addr and moves up to move further ones
// to sleep on the word to instead, if *addr is val; else it returns ErrChanged
// and does nothing. affected counts those woken and those moved.
func Requeue(addr *atomic.Uint32, val uint32, wake int, to *atomic.Uint32, move int) (affected int, err error) {
	affected, errno := sysRequeue(addr, val, clamp(wake), to, clamp(move))
	switch errno {
	case 0:
		return affected, nil
	case unix.EAGAIN:
		return 0, ErrChanged
	}
	return 0, failed("requeue", addr, errno)
}

// Check returns an error if a wait on addr would fail: one for errors.Is with
// unix.EFAULT or unix.EINVAL, as for Wait. It never sleeps, uses up no wake, and
// does not fault: safe for any address. A page on disk may be read in.
func Check(addr *atomic.Uint32) error {
	// Waking none and moving none, the kernel only reads the word. (A wait whose
	// deadline has passed would be queued for a moment, and could use up a wake.)
	if _, errno := sysRequeue(addr, 0, 0, addr, 0); errno != 0 && errno != unix.EAGAIN {
		return failed("wait", addr, errno)
	}
	return nil
}

// CheckWritable returns an error if a store to *addr would fault. It asks the
// kernel, by adding zero to the word atomically, and so is safe for any bytes
// and any address.
func CheckWritable(addr *atomic.Uint32) error {
	if errno := sysTouch(addr); errno != 0 {
		return failed("write", addr, errno)
	}
	return nil
}

// clamp fits a count into the kernel's int; a negative one means none.
func clamp(n int) int {
	return max(0, min(n, math.MaxInt32))
}

func failed(op string, addr *atomic.Uint32, errno unix.Errno) error {
	return fmt.Errorf("futex: %s at %p: %w%s", op, addr, errno, hint(errno))
}

func hint(errno unix.Errno) string {
	switch errno {
	case unix.EFAULT:
		return ": not mapped, mapped without the needed permission, or its file was truncated"
	case unix.EINVAL:
		return ": not a multiple of 4"
	case unix.ENOSYS, unix.EPERM:
		return ": refused by this kernel or a seccomp filter"
	}
	return ""
}
