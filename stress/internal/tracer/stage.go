package tracer

import (
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"interlock/condvar"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/seqlock"
	"interlock/stress/internal/arena"
)

// A value is whole if all its words are equal.
type value [16]uint64

func whole(n uint64) (v value) {
	for i := range v {
		v[i] = n
	}
	return v
}

func (v *value) isWhole() bool { return *v == whole(v[0]) }

// A stage is the memory that everybody shares: what is under test, and what they
// tell each other. It is zero before each round.
type stage struct {
	M mutex.Mutex
	_ [24]byte
	S semaphore.Semaphore
	_ [32]byte
	C condvar.Cond
	_ [48]byte
	Q seqlock.Seqlock[value]
	D seqlock.DoubleBuffer[value]

	Items   atomic.Uint32 // what the condition is about; guarded by M
	Inside  atomic.Uint32 // the process between its Lock and its Unlock
	Said    atomic.Uint32 // how far the victim says it is
	Stop    atomic.Uint32 // bargers end
	Release atomic.Uint32 // who waits inside for it goes on
	Cancel  atomic.Uint32 // the victim's wait is cancelled
	Fail    atomic.Uint32 // what the victim's repair does
	Mended  atomic.Uint32 // repairs of the victim that succeeded
	Begun   atomic.Uint32 // of Share: how often init was called
	Whole   atomic.Uint32 // and came to its end

	Looks [places]atomic.Uint32 // how often a survivor's process has looked at what it waits for

	Repairs atomic.Uint32    // calls of survivors' repairs
	DeadPID [8]atomic.Uint32 // what they were told
	Faults  atomic.Uint32
	Fault   [8]atomic.Uint32 // see faultTexts

	// The segment that Share makes, and who made the one that somebody got.
	Owner, Start, Number, Maker atomic.Uint64
}

// Places of survivors in Looks. Who has none does not count.
const (
	nobody = iota
	placeA
	placeB
	placeC
	places
)

// What the victim says, in Said.
const (
	saidNothing uint32 = iota
	saidBegun          // it calls
	saidInside         // it is in a callback of the call
	saidDone           // the call has returned
)

// What a process can find wrong by itself.
const (
	faultTwoInside uint32 = iota + 1
	faultTorn
	faultDead
	faultHalfMade
	faultNotZero
	faultUnlock
)

var faultTexts = map[uint32]string{
	faultTwoInside: "two processes are inside",
	faultTorn:      "a torn value was read",
	faultDead:      "a reader was told of a death, and no writer died",
	faultHalfMade:  "a segment is shared that is not initialised",
	faultNotZero:   "init got memory that is not zero",
	faultUnlock:    "pthread_mutex_unlock has failed",
}

func (st *stage) fault(kind uint32) {
	if n := st.Faults.Add(1); n <= uint32(len(st.Fault)) {
		st.Fault[n-1].Store(kind)
	}
}

const pageSize = 4096

func stageSize() int { return (arena.SizeOf[stage]() + pageSize - 1) &^ (pageSize - 1) }

// makeStage is for the tracer; the others inherit the file.
func makeStage() (*os.File, []byte, error) {
	fd, err := unix.MemfdCreate("interlock-tracer", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, fmt.Errorf("tracer: memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "interlock-tracer")
	if err := unix.Fallocate(fd, 0, 0, int64(stageSize())); err != nil { // P-K5
		f.Close()
		return nil, nil, fmt.Errorf("tracer: reserving memory: %w", err)
	}
	mem, err := mapStage(f)
	if err != nil {
		f.Close()
	}
	return f, mem, err
}

func mapStage(f *os.File) ([]byte, error) {
	mem, err := unix.Mmap(int(f.Fd()), 0, stageSize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("tracer: mmap: %w", err)
	}
	return mem, nil
}
