package shm

import "golang.org/x/sys/unix"

func getCall(tid int) (c sysCall, err error) {
	var r unix.PtraceRegs
	err = unix.PtraceGetRegs(tid, &r)
	return sysCall{int(r.Orig_rax), [6]uint64{r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9}}, err
}

// skipCall makes the kernel leave out the call that is about to be made.
func skipCall(tid int) error {
	return change(tid, func(r *unix.PtraceRegs) { r.Orig_rax = ^uint64(0) })
}

// setResult replaces the result of the call that was just made, or left out.
func setResult(tid int, e unix.Errno) error {
	return change(tid, func(r *unix.PtraceRegs) { r.Rax = -uint64(e) })
}

func change(tid int, f func(*unix.PtraceRegs)) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &r); err != nil {
		return err
	}
	f(&r)
	return unix.PtraceSetRegs(tid, &r)
}
