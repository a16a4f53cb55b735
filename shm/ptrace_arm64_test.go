package shm

import "golang.org/x/sys/unix"

// The sets of registers of PTRACE_GETREGSET.
const (
	ntPrstatus      = 1
	ntArmSystemCall = 0x404 // the number of the call, 32 bits
)

func getCall(tid int) (c sysCall, err error) {
	var r unix.PtraceRegsArm64
	err = unix.PtraceGetRegSetArm64(tid, ntPrstatus, &r)
	return sysCall{int(r.Regs[8]), [6]uint64(r.Regs[:6])}, err
}

// skipCall makes the kernel leave out the call that is about to be made. It
// has read the number from x8 already. The kernel takes as many bytes as the set
// has: the low half of the first register here.
func skipCall(tid int) error {
	var r unix.PtraceRegsArm64
	r.Regs[0] = ^uint64(0)
	return unix.PtraceSetRegSetArm64(tid, ntArmSystemCall, &r)
}

// setResult replaces the result of the call that was just made, or left out.
func setResult(tid int, e unix.Errno) error {
	var r unix.PtraceRegsArm64
	if err := unix.PtraceGetRegSetArm64(tid, ntPrstatus, &r); err != nil {
		return err
	}
	r.Regs[0] = -uint64(e)
	return unix.PtraceSetRegSetArm64(tid, ntPrstatus, &r)
}
