package tracer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"interlock/internal/proc"
	"interlock/internal/robust"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/procfs"
)

// A crowd is who else is there while the victim acts.
type crowd int

const (
	alone   crowd = iota
	sleeper       // one is asleep that the victim, or its death, must wake
	barger        // and another one takes what it can get, again and again
	lone          // only the latter
	inC           // as barger, and both are C programs
)

var (
	crowds      = []crowd{alone, sleeper, barger}
	mutexCrowds = []crowd{alone, sleeper, barger, inC}
	mutexOthers = []crowd{sleeper, barger, inC}
)

func (c crowd) String() string {
	return [...]string{"alone", "a sleeper", "a sleeper, a barger", "a barger", "a sleeper, a barger, both C"}[c]
}

// A play is one operation: what the victim does, and what must hold afterwards.
type play struct {
	name    string
	crowds  []crowd
	prepare func(a *actor) // in the victim, before it is traced
	act     func(a *actor) // in the victim, traced

	// script brings the others in place, opens the window, moves them while the victim
	// acts, and judges what they say after its death.
	script func(r *round) error

	// lock is where the victim's mutex is, if it is not M.
	lock func(st *stage) []byte

	// first: another process holds the mutex when the window opens.
	first bool
}

// A round is one victim's life and what came after it.
type round struct {
	play     *play
	crowd    crowd
	st       *stage
	a        *member // the sleeper, or who comes afterwards
	b        *member
	c        *member // the barger
	v        *member // the victim
	first    *member // who holds the mutex, if the play wants one
	orphan   []byte  // a mutex as a dead process left it
	orphanOf uint32
	left     int // how often a C program was found asleep beside a free mutex

	opened chan struct{} // closed by open
	dead   chan struct{} // closed once the victim has been killed; then truth holds
	truth  truth

	lent bool // a sleeper got a permit, since the victim had taken its own along

	slowest time.Duration
	looked  bool // a waiter to whom a wake was due has had a look since then
}

// truth is what the tracer saw while the victim stood still, just before its death.
type truth struct {
	stage    *stage // a copy
	killed   int64  // when, CLOCK_MONOTONIC
	ended    bool   // the victim had come to the end of what it does
	held     bool   // the mutex is the victim's
	recorded bool   // and says so
}

// open lets the victim act.
func (r *round) open() { close(r.opened) }

func (r *round) isDead() bool {
	select {
	case <-r.dead:
		return true
	default:
		return false
	}
}

// To see in /proc that somebody sleeps costs more than to sleep; so it is looked for
// less and less often.
const (
	napMin = 50 * time.Microsecond
	napMax = time.Millisecond
)

// victimSleeps waits until the victim sleeps for a word, or needs it no more.
func (r *round) victimSleeps(offset uintptr) {
	for nap := napMin; !r.isDead() && r.st.Said.Load() != saidDone && !r.v.asleep(offset); nap = min(2*nap, napMax) {
		time.Sleep(nap)
	}
}

// cancelAsleep cancels the victim's wait once it sleeps, and waits for its death.
func (r *round) cancelAsleep(offset uintptr) {
	r.victimSleeps(offset)
	r.st.Cancel.Store(1)
	r.awaitDeath()
}

// victimIsInside waits until the victim is in a callback, or will not come there.
func (r *round) victimIsInside() {
	for !r.isDead() && r.st.Said.Load() < saidInside {
		time.Sleep(20 * time.Microsecond)
	}
}

// sleepsOrAnswers waits until a survivor sleeps for a word, or has what it wants.
func (r *round) sleepsOrAnswers(m *member, offset uintptr) {
	for nap := napMin; !m.asleep(offset) && !m.answered(); nap = min(2*nap, napMax) {
		time.Sleep(nap)
	}
}

func (r *round) awaitDeath() { <-r.dead }

// done waits for the answer of one that must proceed, now that the victim is dead.
// wake says that it must be woken, and need not wait for a look. (Beside a barger it may be
// woken, come too late, and sleep again.)
func (r *round) done(m *member, want string, wake bool) error {
	if m.inC {
		r.release(m)
	}
	if err := m.awaitFor(typically); errors.Is(err, errHang) {
		r.st.Stop.Store(1) // on a busy machine a barger can always be first
	}
	if err := m.expect(want); err != nil {
		return err
	}
	since, looks := r.truth.killed, r.truth.stage.Looks[m.place].Load()
	if m.told > since {
		since, looks = m.told, m.looksTold
	}
	r.slowest = max(r.slowest, time.Duration(m.at-since))
	r.looked = r.looked || wake && !r.crowd.barges() && m.looks > looks // it may have had it before the kill
	return nil
}

// then orders, and waits.
func (r *round) then(m *member, format string, args ...any) error {
	if err := m.tell(format, args...); err != nil {
		return err
	}
	return r.done(m, "ok", false)
}

func (c crowd) barges() bool { return c == barger || c == inC }

// bargers has them begin, if there are any.
func (r *round) bargers(order string) error {
	if !r.crowd.barges() {
		return nil
	}
	return r.c.tell("%s", order)
}

// dismiss ends the bargers, who must get what they want once more.
func (r *round) dismiss() error {
	r.st.Stop.Store(1)
	if r.c.owes {
		return r.done(r.c, "ok", false)
	}
	return nil
}

// look fills in the truth.
func (r *round) look() {
	t := &r.truth
	t.stage = arena.At[stage](append([]byte(nil), arena.Bytes(r.st)...), 0)
	word, prev := mutexWords(r.play, t.stage)
	tid := word & robust.TIDMask
	t.held = word&robust.OwnerDied == 0 && tid != 0 && procfs.State(r.v.pid, int(tid)) != "?"
	t.recorded = t.held && proc.PID(prev) == r.v.pid && proc.TID(prev) == tid
	t.killed = arena.Now()
}

// mutexWords are the word of a play's mutex, and the first half of its owner's identity.
func mutexWords(p *play, st *stage) (word uint32, prev uint64) {
	b := arena.Bytes(&st.M)
	if p.lock != nil {
		b = p.lock(st)
	}
	return binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint64(b[24:])
}

// repairs: the survivors were told of the owner's death exactly if the victim held
// the mutex, once, and with its name as far as it had written it down.
func (r *round) repairs() error {
	n, want := r.st.Repairs.Load(), uint32(0)
	if r.truth.held {
		want = 1
	}
	if n != want {
		return fmt.Errorf("the victim held the mutex: %v; repairs of survivors: %d", r.truth.held, n)
	}
	if n == 0 {
		return nil
	}
	told := r.st.DeadPID[0].Load()
	if r.truth.stage.Inside.Load() == uint32(r.v.pid) && !r.truth.recorded {
		return errors.New("the victim was past Lock, and had not written down who it is")
	}
	_, prev := mutexWords(r.play, r.truth.stage)
	switch {
	case told == uint32(r.v.pid), told == untold:
	case !r.truth.recorded && (told == 0 || told == uint32(proc.PID(prev))): // it had not come to that
	default:
		return fmt.Errorf("the victim is process %d; the survivor was told that %d died", r.v.pid, told)
	}
	return nil
}

// faults are what the processes themselves found wrong.
func (r *round) faults() error {
	var errs []error
	for i := range min(r.st.Faults.Load(), uint32(len(r.st.Fault))) {
		errs = append(errs, errors.New(faultTexts[r.st.Fault[i].Load()]))
	}
	return errors.Join(errs...)
}
