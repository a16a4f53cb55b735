package sim

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The shared memory is mapped once for each process, at an address that is the same in
// every run: a process's tables go by address, and a schedule is to mean the same again.
const (
	memorySize  = 4096
	memoryFirst = 0x6f00_0000_0000
	memoryStep  = 1 << 36
)

var mapped int // for so many processes

func memoryOf(p *Process) uintptr { return memoryFirst + uintptr(p.Index)*memoryStep }

// resetMemory maps the shared memory, once, and fills it with zeros.
func resetMemory(processes int) {
	if mapped < processes {
		mapMemory()
	}
	clear(unsafe.Slice((*byte)(at(memoryFirst)), memorySize))
	resetPages()
}

func mapMemory() {
	fd, err := unix.MemfdCreate("interlock-schedule", unix.MFD_CLOEXEC)
	if err == nil {
		err = unix.Ftruncate(fd, memorySize)
	}
	for ; mapped < Programs() && err == nil; mapped++ {
		want := at(memoryFirst + uintptr(mapped)*memoryStep)
		_, err = unix.MmapPtr(fd, 0, want, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED_NOREPLACE)
	}
	if err != nil {
		panic(fmt.Sprintf("sim: no shared memory: %v", err))
	}
	unix.Close(fd)
}

// offset is where an address of the current process lies in the shared memory.
func (w *World) offset(addr uintptr) (uint64, bool) {
	o := addr - memoryOf(w.current.Process)
	return uint64(o), o < memorySize
}

// Before is the point before an access to memory.
func Before(addr uintptr) {
	if world != nil && world.isShared(addr) {
		world.point(shared)
	} else {
		world.point(local)
	}
}

// Copy is *dst = *src, eight bytes at a time, as the processor may do it: anybody may
// come between.
func Copy[T any](dst, src *T) {
	n := unsafe.Sizeof(*dst)
	for i := uintptr(0); i < n; i += 8 {
		to, from := unsafe.Add(unsafe.Pointer(dst), i), unsafe.Add(unsafe.Pointer(src), i)
		stored, loaded := world.isShared(uintptr(to)), world.isShared(uintptr(from))
		if stored || loaded {
			world.point(shared)
		}
		size := min(8, n-i)
		was := wordAt(to, size)
		copy(unsafe.Slice((*byte)(to), size), unsafe.Slice((*byte)(from), size))
		switch {
		case stored:
			Changed(uintptr(to), "stores", was, wordAt(to, size))
		case loaded:
			Changed(uintptr(from), "loads", wordAt(to, size), wordAt(to, size))
		}
	}
}

func (w *World) isShared(addr uintptr) bool {
	_, ok := w.offset(addr)
	return ok
}

// wordAt is the value of up to eight bytes.
func wordAt(p unsafe.Pointer, size uintptr) (v uint64) {
	for i, b := range unsafe.Slice((*byte)(p), size) {
		v |= uint64(b) << (8 * i)
	}
	return v
}

// Offset is where an address of the current process lies in the shared memory.
func Offset(addr uintptr) uint64 {
	o, _ := world.offset(addr)
	return o
}

// Peek reads a word of the shared memory, without anybody noticing.
func Peek(offset uint64) uint32 { return *(*uint32)(at(memoryFirst + uintptr(offset))) }

// at turns an address into a pointer, for memory that is mapped, or kept alive by who
// gave the address.
func at(addr uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&addr)) }
