//go:build amd64 || arm64

package sigbus

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's struct of rt_sigaction(2), the same on amd64 and arm64.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// next is the handler that was there before: the runtime's.
//
//lint:ignore U1000 read by the handler
var next uintptr

// handlerPC is the address of the handler; in handler_*.s, as is the handler.
func handlerPC() uintptr

// install puts the handler before the runtime's, once; with the same flags, so on
// the same alternate stack. Where it is refused, faults stay what they are.
var install = sync.OnceFunc(func() {
	var act sigaction
	if !rtSigaction(nil, &act) || act.handler <= 1 { // SIG_DFL or SIG_IGN: not a Go runtime's
		return
	}
	next = act.handler
	act.handler = handlerPC()
	rtSigaction(&act, nil)
})

func rtSigaction(act, old *sigaction) bool {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGBUS),
		uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), unsafe.Sizeof(act.mask), 0, 0)
	return errno == 0
}
