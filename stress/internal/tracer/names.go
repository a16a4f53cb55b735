package tracer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"interlock/shm"
	"interlock/stress/internal/leftover"
)

// The play about Share: a process that makes a segment dies. The next one makes it, all
// zero and with its own init, or finds it finished.

// A record is what they share: its maker writes who it is, twice.
type record struct {
	First, Second atomic.Uint64
}

func init() {
	register(map[string]order{
		"share": func(a *actor, _ uint64) string { return a.share() },
		"shares": func(a *actor, _ uint64) string {
			for a.st.Stop.Load() == 0 {
				if s := a.share(); s != "ok" {
					return s
				}
			}
			return a.share()
		},
	})
}

func (st *stage) segment() string {
	return leftover.SegmentName(int(st.Owner.Load()), st.Start.Load(), st.Number.Load())
}

func (a *actor) share() string {
	ctx, cancel := context.WithTimeout(bg, 2*limit)
	defer cancel()
	p, seg, err := shm.Share(ctx, a.st.segment(), a.make)
	if err != nil {
		return said(err)
	}
	maker := p.First.Load()
	if maker == 0 || maker != p.Second.Load() {
		a.st.fault(faultHalfMade)
	}
	a.st.Maker.Store(maker)
	return said(seg.Close())
}

// make is everybody's init.
func (a *actor) make(p *record) error {
	a.st.Begun.Add(1)
	if p.First.Load() != 0 || p.Second.Load() != 0 {
		a.st.fault(faultNotZero)
	}
	p.First.Store(uint64(a.pid))
	if a.acting {
		a.inside()
	}
	p.Second.Store(uint64(a.pid))
	a.st.Whole.Add(1)
	return nil
}

var sharePlay = play{name: "Share", crowds: crowds, script: shares, act: func(a *actor) { a.share() }}

// shares: the victim makes the segment. In a crowd another one waits for that, and a
// third comes again and again.
func shares(r *round) error {
	r.open()
	r.victimIsInside()
	if r.crowd >= sleeper {
		if err := r.a.tell("share"); err != nil {
			return err
		}
		r.waitsForMaker(r.a)
	}
	if err := r.bargers("shares"); err != nil {
		return err
	}
	r.st.Release.Store(1)
	r.awaitDeath()
	return r.made()
}

// waitsForMaker gives a survivor the time to come to where it waits: it polls, and
// nothing tells from outside that it does.
func (r *round) waitsForMaker(m *member) {
	for begin := time.Now(); time.Since(begin) < 2*time.Millisecond && !m.answered() && !r.isDead(); {
		time.Sleep(100 * time.Microsecond)
	}
}

// made: everybody has it, the same one, made once by one that came to init's end; but a
// victim that had come to its end and was killed before it published the segment did so
// in vain.
func (r *round) made() error {
	if !r.a.owes {
		if err := r.a.tell("share"); err != nil {
			return err
		}
	}
	if err := r.done(r.a, "ok", false); err != nil {
		return err
	}
	if err := r.dismiss(); err != nil {
		return err
	}
	maker := r.st.Maker.Load()
	if err := r.then(r.b, "share"); err != nil {
		return err
	}
	if now := r.st.Maker.Load(); now != maker {
		return fmt.Errorf("made by process %d, and then again by %d", maker, now)
	}
	byVictim := maker == uint64(r.v.pid)
	inVain := uint32(0)
	if !byVictim {
		inVain = r.truth.stage.Whole.Load()
	}
	if n := r.st.Whole.Load(); n != 1+inVain && !(n == 1 && inVain == 1) || r.truth.ended && !byVictim && r.crowd == alone {
		return fmt.Errorf("init came to its end %d times, by the victim %v; its segment is the one: %v", r.st.Whole.Load(), r.truth.stage.Whole.Load(), byVictim)
	}
	return removeSegment(r.st.segment())
}

// removeSegment takes away the segment, and the lock file that a victim may have left.
func removeSegment(name string) error {
	err := shm.Remove(name)
	if _, stat := os.Stat(filepath.Join("/dev/shm", ".interlock-"+name+".init")); !errors.Is(stat, fs.ErrNotExist) {
		err = errors.Join(err, errors.New("the lock file stays after Remove"))
	}
	return err
}
