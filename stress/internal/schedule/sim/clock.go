package sim

import "slices"

// timer is something that happens once time has come to it. Time passes only when a
// choice says so, or when nobody can go on: it then jumps to the earliest timer, so
// that a thread may be as slow, compared to a timer, as can be.
type timer struct {
	at    int64
	owner *Process
	look  bool // the ticker's: what only this repairs was lost
	fire  func()
}

// Now is the time in nanoseconds since the start of the execution, and 0 before.
func Now() int64 {
	if world == nil {
		return 0
	}
	return world.clock
}

// startTimer lets fire happen after d nanoseconds.
func (w *World) startTimer(d int64, look bool, fire func()) *timer {
	t := &timer{at: w.clock + max(d, 0), owner: w.current.Process, look: look, fire: fire}
	w.timers = append(w.timers, t)
	return t
}

// stop reports whether the timer was still to fire.
func (t *timer) stop() bool {
	w := world
	i := slices.Index(w.timers, t)
	if i >= 0 {
		w.timers = slices.Delete(w.timers, i, i+1)
	}
	return i >= 0
}

// tick lets time come to the earliest timer; of equals the first that was started.
func (w *World) tick() {
	first := w.timers[0]
	for _, t := range w.timers {
		if t.at < first.at {
			first = t
		}
	}
	first.stop()
	w.clock = max(w.clock, first.at)
	w.tracef("time: %dus", w.clock/1000)
	first.fire()
}

// onlyLooks reports whether the ticker is all that is to come.
func (w *World) onlyLooks() bool {
	return !slices.ContainsFunc(w.timers, func(t *timer) bool { return !t.look })
}

// Sleep has the current thread sleep.
func Sleep(d int64) {
	w := world
	w.point(local)
	t := w.current
	w.startTimer(d, false, t.wake)
	w.block(t, "time to pass")
}

// A Timer sends on C when its time has come.
type Timer struct {
	C     *Chan
	timer *timer
}

// NewTimer starts the ticker's timer: nobody else uses one with a channel.
func NewTimer(d int64) *Timer {
	t := &Timer{C: NewChan(1)}
	t.Reset(d)
	return t
}

// Reset starts it again.
func (t *Timer) Reset(d int64) { t.timer = world.startTimer(d, true, func() { t.C.put() }) }

// Stop ends it.
func (t *Timer) Stop() bool { return t.timer.stop() }

// AfterFunc starts a goroutine of this process when d has passed. stop reports
// whether it comes before that.
func AfterFunc(d int64, f func()) (stop func() bool) {
	w := world
	p := w.current.Process
	t := w.startTimer(d, false, func() { w.spawn(p, "timer", f) })
	return t.stop
}
