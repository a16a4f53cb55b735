package tracer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"interlock/seqlock"
	"interlock/stress/internal/arena"
)

// The plays about Seqlock and DoubleBuffer: readers get a whole value, the last or the
// next, or are told that the writer died in its write; and the next Store mends it.

// A holder is what both are.
type holder interface {
	Store(ctx context.Context, src *value) error
	Update(ctx context.Context, f func(v *value)) error
	load(dst *value) error
}

type seq struct{ *seqlock.Seqlock[value] }

func (s seq) load(dst *value) error { return s.Load(bg, dst) }

type double struct{ *seqlock.DoubleBuffer[value] }

func (d double) load(dst *value) error { d.Load(dst); return nil }

func registerHolder(prefix string, of func(st *stage) holder) {
	register(map[string]order{
		prefix + "store": func(a *actor, n uint64) string { return store(of(a.st), n) },
		prefix + "load":  func(a *actor, _ uint64) string { return a.read(of(a.st)) },
		prefix + "hold": func(a *actor, n uint64) string {
			return said(of(a.st).Update(bg, func(v *value) { *v = whole(n); a.inside() }))
		},
		prefix + "read": func(a *actor, _ uint64) string { return a.readOn(of(a.st)) },
		prefix + "write": func(a *actor, n uint64) string {
			for a.st.Stop.Load() == 0 {
				time.Sleep(bargePause)
				n++
				if s := store(of(a.st), n); s != "ok" {
					return s
				}
			}
			return "ok"
		},
	})
}

func init() {
	registerHolder("s", func(st *stage) holder { return seq{&st.Q} })
	registerHolder("d", func(st *stage) holder { return double{&st.D} })
}

func store(h holder, n uint64) string {
	v := whole(n)
	return said(h.Store(bg, &v))
}

const saidDead = "writer-dead"

func (a *actor) read(h holder) string {
	var v value
	if err := h.load(&v); errors.Is(err, seqlock.ErrWriterDead) {
		return saidDead
	} else if err != nil {
		return said(err)
	}
	if !v.isWhole() {
		a.st.fault(faultTorn)
	}
	return fmt.Sprint(v[0])
}

// readOn reads until it is to stop.
func (a *actor) readOn(h holder) string {
	for a.st.Stop.Load() == 0 {
		time.Sleep(bargePause)
		if s := a.read(h); s == saidDead {
			time.Sleep(time.Millisecond) // until somebody stores
		}
	}
	return "ok"
}

// Values: what was stored before, and what the victim stores, and others.
const (
	valueBefore = 1
	valueVictim = 2
	valueOther  = 3
	valueAfter  = 4
)

func storesVictim(of func(a *actor) holder) func(a *actor) {
	return func(a *actor) {
		v := whole(valueVictim)
		_ = of(a).Store(bg, &v)
	}
}

func updatesVictim(of func(a *actor) holder) func(a *actor) {
	return func(a *actor) {
		_ = of(a).Update(bg, func(v *value) {
			*v = whole(v[0] + 1)
			a.inside()
		})
	}
}

func loadsVictim(of func(a *actor) holder) func(a *actor) {
	return func(a *actor) {
		if s := a.read(of(a)); s == saidDead {
			a.st.fault(faultDead)
		}
	}
}

func ofSeq(a *actor) holder    { return seq{&a.st.Q} }
func ofDouble(a *actor) holder { return double{&a.st.D} }

// firstUse does what only the first use does.
func firstUse(of func(a *actor) holder) func(a *actor) {
	return func(a *actor) {
		v := whole(0)
		_ = of(a).Store(bg, &v)
		_ = of(a).load(&v)
	}
}

var (
	storePlay  = play{name: "Seqlock.Store", lock: seqLock, crowds: crowds, script: stores("s", seqOf), prepare: firstUse(ofSeq), act: storesVictim(ofSeq)}
	updatePlay = play{name: "Seqlock.Update", lock: seqLock, crowds: crowds, script: updates("s", seqOf), prepare: firstUse(ofSeq), act: updatesVictim(ofSeq)}
	loadPlay   = play{name: "Seqlock.Load", lock: seqLock, crowds: []crowd{alone, lone}, script: loads("s"), prepare: firstUse(ofSeq), act: loadsVictim(ofSeq)}

	doubleStorePlay  = play{name: "DoubleBuffer.Store", lock: doubleLock, crowds: crowds, script: stores("d", nil), prepare: firstUse(ofDouble), act: storesVictim(ofDouble)}
	doubleUpdatePlay = play{name: "DoubleBuffer.Update", lock: doubleLock, crowds: crowds, script: updates("d", nil), prepare: firstUse(ofDouble), act: updatesVictim(ofDouble)}
	doubleLoadPlay   = play{name: "DoubleBuffer.Load", lock: doubleLock, crowds: []crowd{alone, lone}, script: loads("d"), prepare: firstUse(ofDouble), act: loadsVictim(ofDouble)}
)

func seqLock(st *stage) []byte    { return arena.Bytes(&st.Q)[8:] }
func doubleLock(st *stage) []byte { return arena.Bytes(&st.D)[8:] }

// seqOf tells whether a Seqlock's value may be torn.
func seqOf(st *stage) bool { return arena.Word(&st.Q, 0)&1 != 0 }

func (r *round) writerOffset(kind string) uintptr {
	base := arena.Address(r.st)
	if kind == "s" {
		return uintptr(arena.Address(&r.st.Q)-base) + 8
	}
	return uintptr(arena.Address(&r.st.D)-base) + 8
}

// stores: the victim stores. In a crowd another process is writing, a third waits to
// write, and the victim waits behind them; or somebody reads all the time.
func stores(kind string, torn func(st *stage) bool) func(r *round) error {
	return func(r *round) error {
		if err := r.a.ask(kind+"store %d", valueBefore); err != nil {
			return err
		}
		if r.crowd >= sleeper {
			if err := r.b.tell(kind+"hold %d", valueOther); err != nil {
				return err
			}
			r.victimIsInside() // it is survivor B here
			r.st.Said.Store(saidNothing)
		}
		if err := r.bargers(kind + "read"); err != nil {
			return err
		}
		r.open()
		if r.crowd >= sleeper {
			r.victimSleeps(r.writerOffset(kind))
			if err := r.a.tell(kind+"store %d", valueOther); err != nil {
				return err
			}
			r.sleepsOrAnswers(r.a, r.writerOffset(kind))
			r.st.Release.Store(1)
		}
		r.awaitDeath()
		return r.read(kind, torn)
	}
}

// updates: the victim is in its callback while another one waits to write.
func updates(kind string, torn func(st *stage) bool) func(r *round) error {
	return func(r *round) error {
		if err := r.a.ask(kind+"store %d", valueBefore); err != nil {
			return err
		}
		if err := r.bargers(kind + "read"); err != nil {
			return err
		}
		r.open()
		r.victimIsInside()
		if r.crowd >= sleeper {
			if err := r.a.tell(kind+"store %d", valueOther); err != nil {
				return err
			}
			r.sleepsOrAnswers(r.a, r.writerOffset(kind))
		}
		r.st.Release.Store(1)
		r.awaitDeath()
		return r.read(kind, torn)
	}
}

// loads: the victim reads; others may write. It leaves nothing behind.
func loads(kind string) func(r *round) error {
	return func(r *round) error {
		if err := r.a.ask(kind+"store %d", valueBefore); err != nil {
			return err
		}
		if r.crowd == lone {
			if err := r.c.tell(kind+"write %d", valueAfter); err != nil {
				return err
			}
		}
		r.open()
		r.awaitDeath()
		return r.mended(kind)
	}
}

// read: those who waited to write have written, and readers get a whole value, or, of a
// Seqlock whose writer died in its write, are told so.
func (r *round) read(kind string, torn func(st *stage) bool) error {
	others := r.a.owes
	for _, m := range []*member{r.b, r.a} {
		if m.owes {
			if err := r.done(m, "ok", r.truth.ended); err != nil {
				return err
			}
		}
	}
	if err := r.b.tell(kind + "load"); err != nil {
		return err
	}
	if err := r.b.await(); err != nil {
		return err
	}
	r.slowest = max(r.slowest, time.Duration(r.b.at-r.b.told))
	isTorn := torn != nil && torn(r.truth.stage) && !others
	got, old := r.b.result, fmt.Sprint(valueBefore)
	switch {
	case isTorn != (got == saidDead), !isTorn && got > fmt.Sprint(valueAfter):
		return fmt.Errorf("the victim died in its write, and nobody wrote since: %v; a reader got %s", isTorn, got)
	case r.truth.ended && !others && got == old:
		return fmt.Errorf("the victim came to its end, and a reader got the value of before")
	}
	return r.mended(kind)
}

// mended: the next Store and Load work, and the Store is what is read.
func (r *round) mended(kind string) error {
	if err := r.dismiss(); err != nil {
		return err
	}
	for i, m := range []*member{r.a, r.b} {
		if err := r.then(m, kind+"store %d", valueAfter+i); err != nil {
			return err
		}
		if err := r.c.tell(kind + "load"); err != nil {
			return err
		}
		if err := r.done(r.c, fmt.Sprint(valueAfter+i), false); err != nil {
			return err
		}
	}
	return nil
}
