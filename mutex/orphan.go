package mutex

import (
	"context"
	"errors"
	"math"
	"sync"

	"interlock/internal/mark"
	"interlock/internal/proc"
	"interlock/internal/race"
	"interlock/internal/region"
	"interlock/internal/robust"
)

// OnOwnerDeath registers how this process repairs what m guards when m's owner
// died while holding it. The next Lock, TryLock, LockContext or Cond.Wait of
// this process that meets the orphan runs repair, once no thread of the dead
// process can write any more, and while holding m:
//
//   - repair returns nil: m is whole and the call returns as usual;
//   - it returns ErrNotRecoverable: m is condemned, for all processes and for
//     good, and every call returns or panics with ErrNotRecoverable;
//   - it returns another error: m stays an orphan for others, and the call
//     returns or panics with an error that is ErrOwnerDead and what repair
//     returned;
//   - it panics: m stays an orphan, and the panic goes on.
//
// Where m stays an orphan Cond.Wait holds it all the same: see there.
//
// If this process dies inside repair, the next one to repair finds an orphan
// again, so repair must cope with a repair half done.
//
// pid is the dead process, 0 if unknown; for messages only. If the owner died
// in the few instructions between taking m and recording itself, pid is the
// owner before it.
//
// The registration is for the memory address of m in this process, replaces an
// earlier one, and ends when the memory is unmapped (Segment.Close, Detach); a
// nil repair ends it too. repair must not lock m.
func (m *Mutex) OnOwnerDeath(repair func(pid int) error) {
	repairs.mu.Lock()
	defer repairs.mu.Unlock()
	if repair == nil {
		delete(repairs.one, m.addr())
		return
	}
	if repairs.one == nil {
		repairs.one = make(map[uintptr]func(int) error)
	}
	repairs.one[m.addr()] = repair
}

// OnOwnerDeath registers a repair for every mutex that lies in mem: tables of
// locks. One registered for the mutex itself goes before, then the latest
// registered here. A nil repair ends all registrations inside mem that were
// made by this function.
func OnOwnerDeath(mem []byte, repair func(m *Mutex, pid int) error) {
	if len(mem) == 0 {
		return
	}
	lo := sliceAddr(mem)
	hi := lo + uintptr(len(mem))
	repairs.mu.Lock()
	defer repairs.mu.Unlock()
	if repair == nil {
		repairs.forgetRanges(lo, hi)
		return
	}
	repairs.ranges = append(repairs.ranges, rangeRepair{lo, hi, repair})
}

type rangeRepair struct {
	lo, hi uintptr
	repair func(m *Mutex, pid int) error
}

// registry is this process's repairs.
type registry struct {
	mu     sync.RWMutex
	one    map[uintptr]func(pid int) error
	ranges []rangeRepair
}

var repairs registry

func init() { region.Register(&repairs) }

// Busy: a registration alone keeps no memory mapped.
func (r *registry) Busy(lo, hi uintptr) error { return nil }

// Forget drops the registrations in memory that goes away: what is mapped at
// the same address later is a stranger's.
func (r *registry) Forget(lo, hi uintptr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for addr := range r.one {
		if lo <= addr && addr < hi {
			delete(r.one, addr)
		}
	}
	r.forgetRanges(lo, hi)
}

func (r *registry) forgetRanges(lo, hi uintptr) {
	keep := r.ranges[:0]
	for _, x := range r.ranges {
		if x.lo < lo || x.hi > hi {
			keep = append(keep, x)
		}
	}
	r.ranges = keep
}

func (r *registry) find(m *Mutex) func(pid int) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	addr := m.addr()
	if f := r.one[addr]; f != nil {
		return f
	}
	for i := len(r.ranges) - 1; i >= 0; i-- {
		if x := r.ranges[i]; x.lo <= addr && addr < x.hi {
			return func(pid int) error { return x.repair(m, pid) }
		}
	}
	return nil
}

// inherit deals with an orphan whose word was seen as v. It is not done if the
// word changed meanwhile. With p.orphan, it may return ErrOwnerDead holding m.
//
//	step                          if we die right after it
//	1  E-M7: take the word        orphan again, E-M6
//	2  fence: the dead one's      the same, and the next heir fences the same dead
//	   threads have stopped
//	3  owner = inconsistent       the same
//	4  write our identity         the same; the next heir has us to fence
//	5  the word is still ours     the same (INV-M8)
//	6  repair                     orphan again: repair copes with half a repair
//	7  owner = 0                  orphan again: we died holding it
func (m *Mutex) inherit(ctx context.Context, v uint32, p plan) (done bool, err error) {
	if m.owner.Load() == notRecoverable {
		m.passOn()
		return true, m.fail(ErrNotRecoverable)
	}
	var repair func(pid int) error
	if !p.bare {
		repair = repairs.find(m)
	}
	if repair == nil && !p.orphan {
		m.passOn()
		return true, m.fail(ErrOwnerDead)
	}
	if !m.word.CompareAndSwap(v, proc.TID(proc.Me())|robust.Waiters) { // E-M7, INV-M4
		return false, nil
	}
	mark.At("E-M7 inherited not recorded")
	if m.owner.Load() == notRecoverable { // since we looked; and who took it after that has died
		m.release(1) // the next waiter must learn of it too (P-M7)
		return true, m.fail(ErrNotRecoverable)
	}
	dead := m.snapshot() // before our own record covers theirs
	pid, fence := m.deceased()
	if err := proc.Fence(ctx, fence); err != nil {
		m.putBack(dead)
		return true, err
	}
	m.owner.Store(inconsistent)
	m.record() // not before: if we died in the fence, nobody would know of whom to wait for
	if !m.stillHeld() {
		return false, nil
	}
	if repair == nil {
		return true, &Error{Err: ErrOwnerDead, PID: pid}
	}
	race.Acquire(m.addr()) // repair runs holding m
	whole := false
	defer func() { // also when repair panics
		if !whole && !p.orphan {
			race.Release(m.addr())
			m.putBack(dead)
		}
	}()
	whole, err = m.mend(repair, pid)
	return true, err
}

// putBack gives an orphan up as it was found: the next one who asks who died
// should not be told our name.
func (m *Mutex) putBack(dead snapshot) {
	m.next.Store(dead.next)
	m.prev.Store(dead.prev)
	m.giveUp()
}

// mend runs the repair, and reports whether m is no orphan any more: because
// it is whole and held, or, with an error, because it is condemned.
func (m *Mutex) mend(repair func(pid int) error, pid int) (done bool, err error) {
	mark.At("E-M7 about to repair")
	err = repair(pid)
	switch {
	case err == nil:
		mark.At("E-M7 repaired not whole")
		m.owner.Store(0)
		return true, nil
	case errors.Is(err, ErrNotRecoverable):
		m.condemn()
		return true, &Error{Err: ErrNotRecoverable, PID: pid}
	}
	return false, &Error{Err: ErrOwnerDead, PID: pid, Repair: err}
}

// condemn gives the mutex up for all. Our identity goes too, before the word: no
// fast path, ours included, may take a condemned mutex for one it knows.
func (m *Mutex) condemn() {
	m.owner.Store(notRecoverable)
	m.prev.Store(0)
	m.release(math.MaxInt32) // E-M9: every sleeper must learn of it (P-M7)
}

// deceased is who died holding an orphan: for the message, and for the fence.
//
// The identity may be that of the owner before, if the dead one was killed
// before it recorded itself. If that owner lives, the name of the dead is
// unknown, and so is for whom to wait; a thread of it that still runs finds that
// the word is not its own, and does not return from Lock (INV-M8). A C owner's
// record is a thread ID, which the fence does not trust.
func (m *Mutex) deceased() (pid, fence int) {
	prev, next := m.prev.Load(), m.next.Load()
	if pid = proc.PID(prev); pid != 0 {
		if proc.Judge(proc.TID(prev), prev, next) == proc.Alive {
			return 0, pid
		}
		return pid, pid
	}
	if tid := m.owner.Load(); tid < notRecoverable {
		return int(tid), 0
	}
	return 0, 0
}
