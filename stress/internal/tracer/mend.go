package tracer

import (
	"fmt"
	"slices"

	"interlock/internal/robust"
	"interlock/stress/internal/arena"
)

// The plays in which the mutex is an orphan, and the victim its heir.

// notRecoverable is what the mutex's third word is when it is condemned.
const notRecoverable = 1<<31 - 2

// leaveOrphan has a process lock the mutex and die, and keeps what it leaves: each of
// these rounds begins with that.
func (e *engine) leaveOrphan() error {
	clear(e.mem)
	m, err := e.owner(alone)
	if err != nil {
		return err
	}
	defer m.end()
	e.orphan, e.orphanOf = slices.Clone(arena.Bytes(&e.st.M)), uint32(m.pid)
	return nil
}

// orphaned puts the orphan on the stage.
func (r *round) orphaned() {
	copy(arena.Bytes(&r.st.M), r.orphan)
	copy(arena.Bytes(&r.st.M)[:4], []byte{0, 0, 0, 0xc0}) // OWNER_DIED, WAITERS: as the kernel leaves it
	r.shareWithC()
}

// repairs: the victim takes over. Others come when its repair runs, or when it is dead.
func repairs(how uint32) func(r *round) error {
	return func(r *round) error {
		r.orphaned()
		r.st.Fail.Store(how)
		r.open()
		r.victimIsInside()
		if r.crowd >= sleeper {
			if err := r.a.tell("lock"); err != nil {
				return err
			}
			r.sleepsOrAnswers(r.a, r.mutexOffset())
		}
		if err := r.bargers("barge"); err != nil {
			return err
		}
		r.st.Release.Store(1)
		r.awaitDeath()
		return r.inherited(how)
	}
}

// ownerDies: the victim and another one sleep for the mutex when its owner is killed. The
// kernel wakes the victim, which came first.
func ownerDies(r *round) error {
	r.orphanOf = uint32(r.first.pid)
	r.st.Release.Store(1)
	r.open()
	r.victimSleeps(r.mutexOffset())
	if err := r.a.tell("lock"); err != nil {
		return err
	}
	r.sleepsOrAnswers(r.a, r.mutexOffset())
	if err := r.bargers("barge"); err != nil {
		return err
	}
	r.first.kill()
	r.awaitDeath()
	return r.inheritedFrom()
}

// inheritedFrom: of the first owner's death somebody is told, and once more if the victim
// was its heir and died before it had let go.
func (r *round) inheritedFrom() error {
	if err := r.done(r.a, "ok", r.truth.held || r.truth.ended); err != nil {
		return err
	}
	if err := r.dismiss(); err != nil {
		return err
	}
	if err := r.then(r.b, "lock"); err != nil {
		return err
	}
	n, told := r.st.Repairs.Load(), r.st.DeadPID[0].Load()
	mended, held := r.st.Mended.Load(), uint32(0) // by the victim
	if r.truth.held {
		held = 1
	}
	switch {
	case mended == 1 && n != held, mended == 0 && n != 1 && n != 1+held:
		return fmt.Errorf("the victim repaired it %d times, and held it: %v; repairs of survivors: %d", mended, r.truth.held, n)
	case n > 0 && told == untold:
	case n > 0 && told != r.orphanOf && told != uint32(r.v.pid), n > 0 && mended == 1 && r.truth.recorded && told != uint32(r.v.pid):
		return fmt.Errorf("process %d died, then its heir %d; the survivor was told of %d", r.orphanOf, r.v.pid, told)
	}
	return nil
}

// What the mutex was when the victim died decides what the next one is told.
func (r *round) inherited(how uint32) error {
	owner := arena.Word(&r.truth.stage.M, 2)
	word, _ := mutexWords(r.play, r.truth.stage)
	condemned := owner == notRecoverable && how == condemning
	if r.crowd == inC && r.truth.held {
		condemned = false // glibc takes over from whoever died with it, whatever they had written down
	}
	want := "ok"
	if condemned {
		want = saidCondemned
	}
	wake := r.truth.held || r.truth.ended
	if !r.a.owes {
		if err := r.a.tell("lock"); err != nil {
			return err
		}
	}
	if err := r.done(r.a, want, wake); err != nil {
		return err
	}
	r.st.Stop.Store(1)
	if r.c.owes {
		if err := r.done(r.c, want, false); err != nil {
			return err
		}
	}
	if err := r.b.tell("lock"); err != nil {
		return err
	}
	if err := r.done(r.b, want, false); err != nil {
		return err
	}
	return r.inheritedOnce(word, condemned, how == failing)
}

// inheritedOnce: if it was still an orphan, or the victim held it, or could not repair
// it, one survivor has repaired it, and was told of one of the two dead.
func (r *round) inheritedOnce(word uint32, condemned, failed bool) error {
	want := uint32(0)
	if !condemned && (word&robust.OwnerDied != 0 || r.truth.held || failed) {
		want = 1
	}
	n, told := r.st.Repairs.Load(), r.st.DeadPID[0].Load()
	if n != want {
		return fmt.Errorf("the word was %#x, held by the victim: %v; repairs of survivors: %d", word, r.truth.held, n)
	}
	_, prev := mutexWords(r.play, r.truth.stage)
	unknown := prev == 0 && told == 0 // who condemns takes its name back first
	if n > 0 && told != untold && told != r.orphanOf && !(r.truth.held && (told == uint32(r.v.pid) || unknown)) {
		return fmt.Errorf("process %d died, then its heir %d; the survivor was told of %d", r.orphanOf, r.v.pid, told)
	}
	return nil
}
