package mutex

import (
	"interlock/futex"
	"interlock/internal/mark"
	"interlock/internal/park"
	"interlock/internal/proc"
	"interlock/internal/robust"
)

// The lock word and every way it may change.
//
//	 31        30          29                                   0
//	+---------+------------+-------------------------------------+
//	| WAITERS | OWNER_DIED |     owner: the guardian's TID       |   uint32, futex word, offset 0
//	+---------+------------+-------------------------------------+
//
//	word             name       meaning
//	0                free       nobody holds it; a sleeper has a wake on its way, or the look finds it
//	tid              held       the process of guardian tid holds it; unlock need not call the kernel
//	tid|WAITERS      contended  the same; unlock must wake one sleeper
//	DIED[|WAITERS]   orphan     the owner died inside; what the mutex guards may be half changed
//
// Beside the word, `owner` carries glibc's two special marks:
//
//	inconsistent     held by one who took over an orphan and has not repaired it
//	notRecoverable   condemned: nobody will ever hold it again
//
//	Transitions, each a CAS from the exact value seen              order
//	E-M1   free      -> held        Lock, TryLock, fast            acquire, pairs with E-M4 E-M5 E-M8
//	E-M2   held      -> contended   a waiter, before it sleeps or after it has    none needed (INV-M2)
//	E-M3   free      -> contended   a waiter that has slept        acquire, pairs with E-M4 E-M5 E-M8
//	E-M4   held      -> free        Unlock, fast                   release
//	E-M5   contended -> free        Unlock, then wake one          release
//	E-M6   held, contended -> orphan      the kernel at the owner's death, then wakes one
//	E-M7   orphan    -> contended   a locker that can repair, or Cond.Wait    acquire, pairs with E-M6 E-M10
//	E-M8   contended -> orphan      the holder of an unrepaired orphan gives it up, then wakes one    release
//	E-M9   contended -> free        the holder condemns the mutex, then wakes all                     release
//	E-M10  held, contended -> orphan      the look of a waiter, when the kernel did not do E-M6
//	E-M11  held, contended unchanged      Unlock hands over inside its process    by the queue's lock
//	E-M12  contended -> free        E-M5 at the end of a process's turn: it then stands back, and does
//	                                not take the mutex before another one has, or its time is over
//
//	Invariants
//	INV-M1  At most one process sees its guardian's TID in the word, and only
//	        it changes the word then, but for WAITERS (E-M2). A plain store instead
//	        of a CAS breaks this: a system call or store of a killed process can be
//	        late and hit the next owner's word (P-K15).
//	INV-M2  If a process sleeps, WAITERS is set, or a wake is on its way, or a
//	        look will find the word within park.LookEvery. (By futex F1.)
//	        WAITERS may be set with no sleeper: one wasted wake.
//	INV-M3  A waiter that has slept sees to it that WAITERS is set before it
//	        listens, sleeps again or returns holding the mutex (E-M2, E-M3): it may
//	        have used up a wake, and cannot know whether others sleep (P-M9).
//	INV-M4  An orphan is taken with WAITERS set (P-M4), so Unlock takes its slow
//	        path and sees whether it was repaired.
//	INV-M5  DIED goes only by E-M7. A holder that dies before the repair is done,
//	        or at any later point, makes it an orphan again.
//	INV-M6  Whoever holds it and is past settle or inherit has written its
//	        identity; the look can tell whether it lives.
//	INV-M7  While this process holds the mutex its waiters listen and need no
//	        WAITERS. Whoever changes the word then calls the oldest afterwards; who
//	        queues does so first and looks at the word afterwards. So one of the two
//	        sees the other (docs/models/handover.pml).
//	INV-M8  Who has recorded itself reads the word again, and does not enter if
//	        it is not ours any more: then this process was killed before the record,
//	        and its heir could not know that it has a thread to wait for.
const (
	inconsistent   = robust.Inconsistent
	notRecoverable = robust.NotRecoverable

	// kindRobust is what pthread_mutex_init writes for a robust, process-shared
	// mutex. The low two bits say recursive, error-checking, adaptive; the two
	// high ones are about lock elision, set by any pthread_mutexattr_settype: to
	// us they are all the same.
	kindRobust = 0x90
	kindTypes  = 0x303
)

// plan says how one call wants the mutex.
type plan struct {
	waiters uint32 // robust.Waiters if it has slept: E-M3 rather than E-M1
	orphan  bool   // hold it even as an orphan that nobody here can repair
	bare    bool   // ignore the registered repairs: the caller has its own
}

// settle completes E-M1 and E-M3. On an error it has released the word again. If
// it is neither held nor an error, the word is not ours any more.
func (m *Mutex) settle() (held bool, err error) {
	owner := m.owner.Load()
	if owner == notRecoverable {
		m.release(1) // the next waiter must learn of it too (P-M7)
		return false, m.fail(ErrNotRecoverable)
	}
	if proc.Foreign(m.next.Load()) {
		m.release(1)
		return false, m.fail(ErrPIDNamespace)
	}
	if owner != 0 && m.held() {
		m.owner.CompareAndSwap(owner, 0) // a C owner's TID, or a hostile byte
	}
	m.record()
	return m.stillHeld(), nil
}

// stillHeld is INV-M8. Who was killed ends in the system call, at the latest: no
// thread of it takes the word once more, after the kernel has marked it.
func (m *Mutex) stillHeld() bool {
	held := m.held()
	if !held {
		m.passOn()
	}
	return held
}

// record writes this process's identity; only the holder may. next first: see
// package proc.
func (m *Mutex) record() {
	prev, next := proc.Me(), proc.Next()
	if !proc.Link(m.addr()) {
		prev = proc.Unlinked(prev)
	}
	if m.next.Load() != next {
		m.next.Store(next)
	}
	if last := m.prev.Load(); last != prev {
		m.prev.Store(prev)
		if last != proc.Unlinked(prev) {
			park.EndTurn(&m.word)
		}
	}
}

// release is E-M4, E-M5 and E-M9: free the word, then wake, then call the
// oldest of this process. After the CAS the memory may be gone already (P-M8),
// hence no error if the wake finds nothing. It is not ok, and nothing is done,
// if the word is not ours: v is what it is.
func (m *Mutex) release(wake int) (v uint32, woken int, ok bool) {
	for {
		v = m.word.Load()
		if v&robust.TIDMask != proc.TID(proc.Me()) {
			return v, 0, false
		}
		if m.word.CompareAndSwap(v, 0) { // E-M4 E-M5 E-M9: release first, wake after (F1)
			if v&robust.Waiters != 0 {
				mark.At("E-M5 released not woken")
				woken, _ = futex.Wake(&m.word, wake)
			}
			m.call()
			return v, woken, true
		}
	}
}

// call has the oldest of this process's waiters look at the word: INV-M7. Only
// the address is used: after a release the memory may be gone (P-M8).
func (m *Mutex) call() {
	if park.BucketAt(m.addr()).Listens() {
		park.Call(&m.word)
	}
}

// giveUp is E-M8: an orphan that was not repaired stays one. If a peer has
// overwritten the word, there is nothing to give up.
func (m *Mutex) giveUp() {
	for {
		v := m.word.Load()
		if v&robust.TIDMask != proc.TID(proc.Me()) {
			return
		}
		if m.word.CompareAndSwap(v, robust.OwnerDied|v&robust.Waiters) { // E-M8
			m.passOn()
			m.call()
			return
		}
	}
}

// passOn wakes one sleeper in our place: a locker that leaves an orphan, or a
// condemned mutex, may have used up the only wake that was sent.
func (m *Mutex) passOn() {
	_, _ = futex.Wake(&m.word, 1)
}
