package proc

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The guardian is the thread that owns this process's locks, as far as the
// kernel is concerned. A goroutine cannot: it moves between threads (P-G1).
// When the process ends in any way, the guardian's thread ends with it, and
// the kernel walks that thread's robust list and turns every word that carries
// its TID into OWNER_DIED.
//
// It does nothing after it has registered. It must never return: the end of
// its thread is the death of all locks this process holds.

// robustHead is the kernel's struct robust_list_head.
type robustHead struct {
	next    uintptr // first entry; the head's own address when empty
	offset  int64   // from an entry to its futex word: the same for all
	pending uintptr // unused here: a word that is linked for good needs no announcement (P-K3)
}

var startOnce sync.Once

// Start makes sure that the guardian runs and Me is valid.
func Start() { startOnce.Do(start) }

func start() {
	ready := make(chan struct{})
	go guardian(ready)
	go func() {}() // the youngest goroutine is the last that another thread takes over
	// What it will ask for, while its thread is on its way:
	pidNamespace()
	bootOffset()
	if !awake(func() bool { return me.Load() != unstarted }) {
		<-ready
	}
}

// awake waits for something that is about to happen, for a moment, without giving
// up its processor: to be woken takes longer. Nor does the guardian, then, begin on
// the first thread, where it cannot stay.
func awake(happened func() bool) bool {
	if runtime.GOMAXPROCS(0) == 1 {
		return false
	}
	const moment = 300 * time.Microsecond
	for begin := time.Now(); time.Since(begin) < moment; {
		if happened() {
			return true
		}
		_, _, _ = syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	return false
}

// guardian never returns once it has found a thread that is not the process's
// first one. The first keeps its TID and start time through an execve and stays
// visible as a zombie: both would pass for a living owner.
func guardian(ready chan struct{}) {
	runtime.LockOSThread()
	if unix.Gettid() == os.Getpid() {
		again := make(chan struct{})
		go guardian(again) // cannot land here: this thread is locked to us
		<-again
		close(ready)
		runtime.UnlockOSThread()
		return
	}
	register()
	tid := unix.Gettid()
	_, ticks, err := readStat("/proc/thread-self/stat") // by way of self: see pidNamespace
	if err != nil {
		ticks = 0 // no /proc: others fall back to asking for the TID alone
	}
	prev, next := compose(os.Getpid(), tid, ticks, pidNamespace())
	meNext.Store(next)
	me.Store(prev)
	close(ready)
	nameThread()
	select {}
}

// nameThread makes the guardian recognisable in ps -L and in debuggers.
func nameThread() {
	name := [16]byte{}
	copy(name[:], "interlock-guard")
	_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name)), 0, 0, 0)
}

// register gives this thread an empty robust list. Where the kernel refuses
// (seccomp, emulators), nothing is ever linked and owners' deaths are found by
// the look of the waiters alone.
func register() {
	links.mu.Lock()
	defer links.mu.Unlock()
	page, err := mapPage(0)
	if err != nil {
		return
	}
	links.head = (*robustHead)(at(page))
	links.head.next = page
	links.distance = distances[0]
	links.head.offset = int64(links.distance)
	_, _, errno := syscall.RawSyscall(unix.SYS_SET_ROBUST_LIST, page, unsafe.Sizeof(robustHead{}), 0)
	if errno != 0 {
		links.head = nil
	}
}

// pidNamespace is the inode of this process's PID namespace, 0 if unknown. By
// way of self: where /proc is that of an outer namespace, our PID is another's.
var pidNamespace = sync.OnceValue(func() uint32 {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return 0
	}
	return uint32(st.Ino)
})

// at turns an address into a pointer. The memory is mapped, not Go's, so the
// collector neither moves nor frees it.
func at(addr uintptr) unsafe.Pointer {
	return *(*unsafe.Pointer)(unsafe.Pointer(&addr))
}
