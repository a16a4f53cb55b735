// Package mutex is a lock that lives in shared memory and survives its holder.
//
// A Mutex works between goroutines and between processes at once. When a
// process dies while it holds one, in whatever way and at whatever
// instruction, the next locker learns of it within about a millisecond and can
// repair what the mutex guards.
//
//	mutex.go     the contract and the fast paths
//	word.go      the lock word: states, transitions, invariants
//	slow.go      locking when it is not free, unlocking when somebody waits
//	queue.go     waiting: listening, sleeping, standing back, giving up
//	orphan.go    taking over from the dead: repair, condemn, give up
//	look.go      what a sleeping waiter's process looks at meanwhile
//	errors.go    what can go wrong
package mutex

import (
	"context"
	"sync/atomic"

	"interlock/internal/park"
	"interlock/internal/proc"
	"interlock/internal/race"
	"interlock/internal/region"
)

// A Mutex is a mutual exclusion lock for shared memory.
//
// The zero value, which is what fresh shared memory holds, is an unlocked
// mutex. Place it in memory that every party maps with MAP_SHARED, at an
// address that is a multiple of 8; memory that is private to the process, Go's
// heap included, works between goroutines but is not protected against death.
// It must not be copied after first use. It is not recursive: a goroutine that
// locks it twice waits for itself.
//
// It belongs to the process, not to a goroutine or a thread: any goroutine of
// the owning process may unlock it.
//
// Fairness: goroutines of one process that wait are served in order of arrival.
// A newcomer may overtake them as long as the oldest has waited less than 1 ms,
// plus 2 µs for each that queues; after that Unlock hands the mutex over to it.
// While other processes sleep for it, a process takes it again and again, or hands
// it over inside, for 0.5 ms or 1,000 times at most, and then lets them go first.
// Those asleep are served in the kernel's order, first come, first served.
//
// When the owner dies (is killed, exits, crashes, calls exec), the mutex
// becomes an orphan, and stays one until somebody has repaired it: see
// OnOwnerDeath. A waiter learns of it typically within 1 ms, and at the latest
// 100 ms after the kernel marked or destroyed the owner, plus scheduling delay.
// (In a crowd, where 32 processes and more sleep on one mutex, a waiter that the
// kernel did not tell looks for itself as seldom as every 0.4 s. All of them
// together look more often than one alone would.) A stopped or frozen owner is not
// dead.
//
// In the terminology of the Go memory model, extended to processes that share
// the memory: the n'th Unlock synchronizes before the m'th Lock, TryLock or
// LockContext that succeeds, for n < m.
//
// The layout is that of glibc's pthread_mutex_t on 64-bit Linux; after Init, C
// programs can use it as a robust, process-shared mutex. (On arm64 C's type is 8
// bytes longer: see docs/abi.md.) include/interlock.h is the C side, ready to use.
//
//	offset  field    written by
//	 0      word     all, by CAS: see word.go
//	 4      count    C owners; never read here
//	 8      owner    the holder: 0, a C owner's TID, inconsistent or notRecoverable
//	12      nusers   C owners; never read here
//	16      kind     Init: 0 (Go only) or 0x90 (robust, process-shared)
//	20      spins    nobody
//	24      prev     the holder: identity, see internal/proc, or a C owner's list pointer
//	32      next     the holder: the same
type Mutex struct {
	word   atomic.Uint32
	count  atomic.Uint32
	owner  atomic.Uint32
	nusers atomic.Uint32
	kind   atomic.Uint32
	spins  atomic.Uint32
	prev   atomic.Uint64
	next   atomic.Uint64
}

// Lock locks m, and blocks until it can.
//
// If the owner died and this process has no repair registered, if its repair
// failed, or if m can never be locked, Lock panics with the error that
// LockContext would return, and m is not held.
//
//go:nosplit
func (m *Mutex) Lock() { // lockFast, which is too large to be inlined
	me := proc.Me()
	if !m.grab(me) {
		m.lockSlow()
	} else if m.prev.Load() != me {
		m.lockOvertaken()
	}
	race.Acquire(m.addr())
}

// TryLock locks m if that is possible without waiting for its holder, and
// reports whether it did. It panics as Lock does.
func (m *Mutex) TryLock() bool {
	if !m.lockFast() && !m.tryLockSlow() {
		return false
	}
	race.Acquire(m.addr())
	return true
}

// LockContext is Lock with a way out. The caller holds m only if it returns
// nil; otherwise m is as it was, unless a repair condemned it, and the error
// is, for errors.Is,
//
//   - ctx.Err(), when ctx was done first;
//   - ErrOwnerDead, when the owner died and this process has no repair
//     registered, or its repair failed;
//   - ErrNotRecoverable, when m was condemned;
//   - ErrPIDNamespace, when m was last held in another PID namespace;
//   - ErrNotShared, when a C program initialised m as another kind of mutex;
//   - unix.EFAULT, when the memory cannot be written;
//   - shm.ErrTruncated, when somebody made the file under m shorter while it
//     waited. At other times a call in such memory panics, as every touch of it
//     does: see shm.Segment.Truncated.
func (m *Mutex) LockContext(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !m.lockFast() {
		if err := m.lock(ctx, plan{}); err != nil {
			return err
		}
	}
	race.Acquire(m.addr())
	return nil
}

// Unlock unlocks m. Any goroutine of the process that holds m may call it. It
// panics, and changes nothing, if this process does not hold m.
//
// If m is an orphan that Cond.Wait returned unrepaired, Unlock leaves it an
// orphan for others.
//
//go:nosplit
func (m *Mutex) Unlock() {
	if race.Enabled && m.held() { // a panic must neither order nor undo an order
		race.Release(m.addr())
	}
	b := park.BucketAt(m.addr())
	if b.Listens() || !m.word.CompareAndSwap(proc.TID(proc.Me()), 0) { // E-M4
		m.unlockSlow()
	} else if b.Listens() {
		m.call() // one that has queued up meanwhile: INV-M7
	}
}

// lockFast is E-M1 for a mutex that this process held last: then it is linked
// and carries our identity, and taking it is one CAS.
//
// prev is read again after the CAS: another process may have held m in
// between, and then the identity is not ours, or m is condemned by now.
func (m *Mutex) lockFast() bool {
	me := proc.Me()
	return m.grab(me) && (m.prev.Load() == me || m.overtaken())
}

func (m *Mutex) grab(me uint64) bool {
	return m.prev.Load() == me && m.word.CompareAndSwap(0, proc.TID(me)) // E-M1
}

// Owner is the process that holds m, for diagnosis: it may have changed by the
// time Owner returns. For an orphan, held is false and pid is who died. pid is
// 0 if unknown.
func (m *Mutex) Owner() (pid int, held bool) { return m.ownerNow() }

// Init makes m usable by C programs too: it writes what pthread_mutex_init
// writes for the attributes robust and process-shared. Go programs need not
// call it. It changes neither a lock that is held nor the set of waiters, and
// calling it again, in any process, does nothing. It returns ErrNotShared if a
// C program has initialised m as another kind of mutex, and unix.EFAULT if the
// memory cannot be written.
func (m *Mutex) Init() error {
	if err := m.checkWritable(); err != nil {
		return err
	}
	if m.kind.CompareAndSwap(0, kindRobust) {
		return nil
	}
	return m.checkKind()
}

// Detach tells the library that the caller is about to unmap mem, which it had
// mapped itself; a shm.Segment does this in Close. It returns an error for
// errors.Is(err, shm.ErrBusy), and changes nothing, while this process holds a
// mutex in mem or waits for something in it.
//
// Without it this process's list of mutexes keeps pointing there: if it dies,
// the kernel may stop at the missing page, and leave the mutexes behind it to
// the slower look (P-K18), or mark a word of whatever is mapped there by then,
// if that happens to hold the guardian's thread ID (P-K4).
func Detach(mem []byte) error {
	if len(mem) == 0 {
		return nil
	}
	lo := sliceAddr(mem)
	return region.Detach(lo, lo+uintptr(len(mem)))
}
