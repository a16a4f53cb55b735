package sim

import (
	"math"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FutexCall is the system call futex; op is the kernel's number of an operation.
//
//go:uintptrescapes
func FutexCall(addr uintptr, op int, val, val2, addr2, val3 uintptr) (uintptr, unix.Errno) {
	const opWait, opWake, opCmpRequeue, opWakeOp, opWaitBitset, private = 0, 1, 4, 5, 9, 128
	w := world
	k := w.keyOf(addr, op&private != 0)
	switch op &^ private {
	case opWait, opWaitBitset:
		until := int64(never)
		if op&^private == opWaitBitset && val2 != 0 {
			until = (*unix.Timespec)(at(val2)).Nano()
		}
		_, errno := w.futexWait([]word{{k, addr, uint32(val)}}, until)
		return 0, errno
	case opWake:
		w.point(w.kindOf(k))
		w.trace("wakes sleepers of " + k.String() + "   " + w.place())
		return uintptr(w.futexWake(k, int(int32(val)))), 0
	case opCmpRequeue: // the library uses it to look only: it wakes none and moves none
		w.point(w.kindOf(k))
		if load32(addr) != uint32(val3) {
			return 0, unix.EAGAIN
		}
		return 0, 0
	case opWakeOp: // the library uses it to add zero
		w.point(w.kindOf(w.keyOf(addr2, false)))
		return 0, 0
	}
	return 0, unix.ENOSYS
}

// vectorEntry is the kernel's struct futex_waitv.
type vectorEntry struct {
	val   uint64
	addr  uint64
	flags uint32
	_     uint32
}

// FutexWaitv is the system call futex_waitv.
//
//go:uintptrescapes
func FutexWaitv(vector, n, flags, timeout uintptr) (uintptr, unix.Errno) {
	const private = 128
	w := world
	switch {
	case w.NoWaitv:
		return 0, unix.ENOSYS
	case n == 0:
		return 0, unix.EINVAL
	}
	var words []word
	for _, e := range unsafe.Slice((*vectorEntry)(at(vector)), n) {
		addr := uintptr(e.addr)
		words = append(words, word{w.keyOf(addr, e.flags&private != 0), addr, uint32(e.val)})
	}
	until := int64(never)
	if timeout != 0 {
		until = (*unix.Timespec)(at(timeout)).Nano()
	}
	i, errno := w.futexWait(words, until)
	if errno != 0 {
		return math.MaxUint64, errno
	}
	return uintptr(i), 0
}

// ClockGettime is the system call.
//
//go:uintptrescapes
func ClockGettime(ts uintptr) unix.Errno {
	*(*unix.Timespec)(at(ts)) = unix.NsecToTimespec(world.clock)
	return 0
}

// Tgkill is the system call, for signal 0, which asks, and for those that interrupt.
func Tgkill(pid, tid int, signal unix.Signal) unix.Errno {
	w := world
	w.point(shared)
	t := w.thread(tid)
	if t == nil || pid != 0 && t.Process.PID != pid {
		return unix.ESRCH
	}
	if signal != 0 {
		w.poke(t)
	}
	return 0
}

// robustList is what the guardian has registered.
type robustList struct {
	head uintptr
	tid  int
	next uintptr // where the walk is
}

// SetRobustList is the system call.
func SetRobustList(head uintptr) unix.Errno {
	t := world.current
	t.Process.list = robustList{head: head, tid: t.tid}
	return 0
}

// first is the walk's place before the first entry; no entry is there.
const first = 1

// walkOne marks the next word that a dead process holds, and reports whether there was
// one. It reads the list as the kernel does, from the process's own memory.
func (w *World) walkOne(p *Process) bool {
	const tidMask, died, waiters = 1<<30 - 1, 1 << 30, 1 << 31
	l := &p.list
	if l.head == 0 {
		return false
	}
	if l.next == first {
		l.next = *(*uintptr)(at(l.head))
	}
	distance := *(*uintptr)(at(l.head + 8))
	for l.next != l.head {
		offset := uint64(l.next + distance - memoryOf(p))
		l.next = *(*uintptr)(at(l.next))
		lock := (*uint32)(at(memoryFirst + uintptr(offset)))
		was := *lock
		if was&tidMask != uint32(l.tid) {
			continue
		}
		*lock = was&waiters | died
		w.tracef("the kernel marks %s %s, whose owner %c is dead", nameOf(offset), change(uint64(was), uint64(*lock)), 'A'+p.Index)
		if w.Watch != nil {
			w.Watch(offset, uint64(was), uint64(*lock))
		}
		if was&waiters != 0 {
			w.futexWake(key{nil, offset}, 1)
		}
		return true
	}
	return false
}

// GuardianTID is what a process writes into the locks that it holds; 0 before it has
// registered its robust list.
func (p *Process) GuardianTID() uint32 { return uint32(p.list.tid) }

// Pages of processes' own memory. They stay mapped for the next execution.
const pageSize = 4096

type page struct {
	addr uintptr
	used bool
}

var pages []*page

func resetPages() {
	for _, p := range pages {
		p.used = false
	}
}

// Mmap gives a page of zeros, at the address wanted if that is not 0.
func Mmap(want uintptr) (uintptr, unix.Errno) {
	const anywhere = 0x6e00_0000_0000
	i := slices.IndexFunc(pages, func(p *page) bool { return p.addr == want || want == 0 && !p.used && p.addr >= anywhere })
	if i < 0 {
		if want == 0 {
			want = anywhere + uintptr(len(pages))*pageSize
		}
		_, err := unix.MmapPtr(-1, 0, at(want), pageSize, unix.PROT_READ|unix.PROT_WRITE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED_NOREPLACE)
		if err != nil {
			return 0, unix.EEXIST
		}
		i, pages = len(pages), append(pages, &page{addr: want})
	}
	p := pages[i]
	if p.used {
		return 0, unix.EEXIST
	}
	p.used = true
	clear(unsafe.Slice((*byte)(at(p.addr)), pageSize))
	return p.addr, 0
}

// Munmap takes a page back.
func Munmap(addr uintptr) {
	for _, p := range pages {
		if p.addr == addr {
			p.used = false
		}
	}
}
