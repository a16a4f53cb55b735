package mutex

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

// at lays a T over shared memory.
func at[T any](mem []byte, off int) *T {
	_ = mem[off : off+int(unsafe.Sizeof(*new(T)))]
	return (*T)(unsafe.Pointer(&mem[off]))
}

func sizeOf[T any]() uintptr { return unsafe.Sizeof(*new(T)) }

// mutexes lays n mutexes over shared memory.
func mutexes(mem []byte, n int) []Mutex {
	_ = mem[:n*int(unsafe.Sizeof(Mutex{}))]
	return unsafe.Slice((*Mutex)(unsafe.Pointer(&mem[0])), n)
}

// offsets of the fields, in the order of the struct, and the size.
func offsets() []uintptr {
	var m Mutex
	return []uintptr{
		unsafe.Offsetof(m.word), unsafe.Offsetof(m.count), unsafe.Offsetof(m.owner), unsafe.Offsetof(m.nusers),
		unsafe.Offsetof(m.kind), unsafe.Offsetof(m.spins), unsafe.Offsetof(m.prev), unsafe.Offsetof(m.next),
		unsafe.Sizeof(m),
	}
}

// fixed maps fd, shared, at exactly this address, over whatever is there.
func fixed(fd, size int, addr uintptr, prot int) ([]byte, error) {
	where := *(*unsafe.Pointer)(unsafe.Pointer(&addr))
	_, err := unix.MmapPtr(fd, 0, where, uintptr(size), prot, unix.MAP_SHARED|unix.MAP_FIXED)
	return unsafe.Slice((*byte)(where), size), err
}

// at0 is where memory begins.
func at0(mem []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(mem)) }

// refuse makes the kernel answer EPERM to one system call, in all threads of
// this process and for good, as a container's seccomp filter would (T88).
func refuse(call int) error {
	if proctest.Missing(uintptr(call)) {
		return nil
	}
	const loadNumber, jumpEqual, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	prog := []unix.SockFilter{
		{Code: loadNumber},
		{Code: jumpEqual, Jf: 1, K: uint32(call)},
		{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	// TSYNC wants every thread to be free to take the filter: the flag above,
	// which is this thread's alone, is given to the others by it.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return errno
	}
	return nil
}
