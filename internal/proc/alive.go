package proc

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// A Verdict on the owner of a held lock word.
type Verdict int

const (
	// Alive: or nobody can tell. A stopped, frozen or traced owner is alive (P-K8).
	Alive Verdict = iota
	// Dead: the owner cannot come back. The kernel has marked its words by now,
	// or never will.
	Dead
	// Unrecorded: the word's TID no longer exists and the identity names another
	// owner: the owner died between taking the word and recording itself, or is
	// just now in that window. Dead, if the next look finds the same three words.
	Unrecorded
)

// Judge says whether the owner of a lock word is alive, given the TID in the
// word and the identity beside it.
//
// A lock is never taken from an owner that might live: when in doubt, Alive.
// A C owner is always Alive here. Its record is a TID alone, which may belong to
// another PID namespace, and its own robust list sees to its death.
func Judge(tid uint32, prev, next uint64) Verdict {
	if Foreign(next) || prev&flagGo == 0 && prev != 0 {
		return Alive
	}
	if TID(prev) != tid || prev == 0 {
		if threadExists(int(tid)) {
			return Alive
		}
		return Unrecorded
	}
	if prev&^flagNoLink == Me() {
		return Alive
	}
	return JudgeThread(PID(prev), int(tid), prev, next)
}

// JudgeThread says whether the owner that wrote prev and next is thread tid of
// process pid, and alive. They are its numbers in our own PID namespace, which for
// an owner of another one are not those that it wrote.
func JudgeThread(pid, tid int, prev, next uint64) Verdict {
	if unix.Tgkill(pid, tid, 0) == unix.ESRCH {
		return Dead
	}
	if !procIsOurs() {
		return Alive
	}
	state, ticks, err := threadStat(pid, tid)
	switch {
	case err != nil:
		// Gone since (the read of an open stat file says ESRCH then), or /proc
		// hides other users' processes: ask again.
		if unix.Tgkill(pid, tid, 0) == unix.ESRCH {
			return Dead
		}
		return Alive
	case state == 'Z' || state == 'X':
		return Dead
	}
	_, then := compose(pid, tid, ticks, uint32(next))
	if s := startOf(next); s != 0 && match(prev, next) && !sameStart(s, startOf(then)) {
		return Dead // another process has got the pid and the TID since
	}
	return Alive
}

// sameStart compares start times. They may differ by one: see bootOffset.
func sameStart(a, b uint64) bool {
	return a == b || a+1 == b || b+1 == a
}

// threadExists asks for a thread of any process. tgkill wants the process as
// well; /proc answers for every thread.
func threadExists(tid int) bool {
	if tid <= 0 {
		return true
	}
	err := unix.Kill(tid, 0) // finds the process by any of its threads
	return err != unix.ESRCH
}

// threadStat reads a thread's state letter and its start time in clock ticks.
// The time is as the initial time namespace has it, give or take one tick.
// The state of a thread that is on its way out of the kernel is X, dead: it
// will not run its program again.
func threadStat(pid, tid int) (state byte, ticks uint64, err error) {
	return readStat(fmt.Sprintf("/proc/%d/task/%d/stat", pid, tid))
}

func readStat(file string) (state byte, ticks uint64, err error) {
	b, err := readFile(file)
	if err != nil {
		return 0, 0, err
	}
	// The name, in parentheses, may itself hold spaces and parentheses.
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	const fieldState, fieldFlags, fieldStart = 0, 6, 19 // fields 3, 9 and 22 of proc(5)
	const exiting = 0x4                                 // PF_EXITING
	if len(f) <= fieldStart || len(f[fieldState]) != 1 {
		return 0, 0, fmt.Errorf("proc: cannot parse %s", file)
	}
	state = f[fieldState][0]
	if flags, err := strconv.ParseUint(string(f[fieldFlags]), 10, 64); err == nil && flags&exiting != 0 {
		state = 'X'
	}
	ticks, err = strconv.ParseUint(string(f[fieldStart]), 10, 64)
	return state, ticks - bootOffset(), err
}

// bootOffset is by how many clock ticks /proc shows this process other start
// times than it shows to processes of the initial time namespace.
var bootOffset = sync.OnceValue(func() uint64 {
	b, err := readFile("/proc/self/timens_offsets")
	if err != nil {
		return 0 // no time namespaces
	}
	const ticksPerSecond = 100 // USER_HZ, on all architectures that Go has
	_, rest, _ := bytes.Cut(b, []byte("boottime"))
	var sec, nsec int64
	if _, err := fmt.Sscan(string(rest), &sec, &nsec); err != nil {
		return 0
	}
	return uint64(sec*ticksPerSecond + nsec/(1e9/ticksPerSecond))
})

// ProcessOf is the process to which a thread belongs, 0 if unknown.
func ProcessOf(tid int) int {
	b, err := readFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil || !procIsOurs() {
		return 0
	}
	pid, err := strconv.Atoi(string(field(b, "Tgid:")))
	if err != nil {
		return 0
	}
	return pid
}

// A Round judges many words at once, as the ticker does for all words waited
// for: an owner found alive is not asked for again for each of its locks.
type Round struct {
	number uint32
	last   [2]uint64 // the one found alive last
	alive  map[[2]uint64]struct{}
}

// Judge is Judge, with answers of Alive from the same round. One goroutine at a
// time may call it.
func (r *Round) Judge(round, tid uint32, prev, next uint64) Verdict {
	if round != r.number {
		r.number, r.last = round, [2]uint64{}
		clear(r.alive)
	}
	owner := [2]uint64{prev, next}
	if TID(prev) != tid {
		return Judge(tid, prev, next)
	}
	if owner == r.last {
		return Alive
	}
	if _, ok := r.alive[owner]; ok {
		return Alive
	}
	v := Judge(tid, prev, next)
	if v == Alive && len(r.alive) < 1<<16 {
		if r.alive == nil {
			r.alive = make(map[[2]uint64]struct{})
		}
		r.alive[owner] = struct{}{}
		r.last = owner
	}
	return v
}
