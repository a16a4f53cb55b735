//go:build amd64

package ptrace

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

func tracerOf(status []byte) int {
	_, rest, _ := bytes.Cut(status, []byte("\nTracerPid:"))
	text, _, _ := bytes.Cut(rest, []byte("\n"))
	tid, _ := strconv.Atoi(string(bytes.TrimSpace(text)))
	return tid
}

// Start lets all threads go on.
func (t *Tracee) Start(m Mode) {
	for tid, th := range t.threads {
		if th.standing {
			t.resume(tid, m, 0)
		}
	}
}

// Freeze stops all threads, as if none got a CPU any more. They stay so.
func (t *Tracee) Freeze() error {
	for tid, th := range t.threads {
		if !th.standing {
			_ = unix.PtraceInterrupt(tid) // ESRCH: it ends, and that is reported too
		}
	}
	for t.running() {
		if _, _, err := t.wait(); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tracee) running() bool {
	for _, th := range t.threads {
		if !th.standing {
			return true
		}
	}
	return false
}

// wait waits for the next stop of a thread, or for the end of one: then it returns
// 0 for it. ErrGone says that it was the last.
func (t *Tracee) wait() (tid int, s unix.WaitStatus, err error) {
	for {
		tid, err = unix.Wait4(-1, &s, unix.WALL|unix.WNOTHREAD, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			t.gone = true
			return 0, 0, fmt.Errorf("%w: %w", ErrGone, err)
		case s.Stopped():
			th := t.threads[tid]
			if th == nil { // the first stop of a new one
				th = &thread{}
				t.threads[tid] = th
			}
			th.standing = true
			return tid, s, nil
		case tid == t.PID:
			t.gone = true
			return 0, s, ErrGone
		}
		delete(t.threads, tid)
		return 0, s, nil
	}
}

func (t *Tracee) resume(tid int, m Mode, signal int) {
	th := t.threads[tid]
	if th == nil {
		return
	}
	th.standing = false
	// ESRCH: it was killed meanwhile, and its end is reported by wait.
	switch {
	case th.inside || th.passing != 0:
		_, _ = request(unix.PTRACE_SINGLESTEP, tid, 0, uintptr(signal))
	case m == Calls:
		_ = unix.PtraceSyscall(tid, signal)
	default:
		_ = unix.PtraceCont(tid, signal)
	}
}

// Follow goes from stop to stop until on says Halt, or the process has ended.
func (t *Tracee) Follow(m Mode, on func(s Stop) Verdict) error {
	for {
		tid, status, err := t.wait()
		if err != nil {
			return err
		}
		if tid == 0 {
			continue
		}
		s, signal, ok := t.classify(tid, status)
		verdict := GoOn
		if ok && (m != Step || t.stepsOn(s)) {
			verdict = on(s)
		}
		if verdict == Halt {
			return nil
		}
		if ok {
			if err := t.pass(s); err != nil {
				return fmt.Errorf("ptrace: passing a trap: %w", err)
			}
		}
		t.resume(tid, m, signal)
		if verdict == Strike {
			t.Kill()
		}
	}
}

// Resume lets a thread go on that Follow has left standing.
func (t *Tracee) Resume(s Stop, m Mode) error {
	if t.threads[s.TID] == nil {
		return ErrGone
	}
	if err := t.pass(s); err != nil {
		return fmt.Errorf("ptrace: passing a trap: %w", err)
	}
	t.resume(s.TID, m, 0)
	return nil
}

// classify says what a stop is about. If it is nobody's business, ok is false, and
// the signal, if any, is to be delivered.
func (t *Tracee) classify(tid int, status unix.WaitStatus) (s Stop, signal int, ok bool) {
	th := t.threads[tid]
	s.TID, s.Kind = tid, At
	var regs unix.PtraceRegs
	switch signalled, event := status.StopSignal(), status>>16 != 0; {
	case event: // a clone, a new thread, an interrupt
		return s, 0, false
	case signalled != unix.SIGTRAP && signalled != unix.SIGTRAP|0x80:
		return s, int(signalled), false
	case unix.PtraceGetRegs(tid, &regs) != nil:
		return s, 0, false // killed
	case signalled != unix.SIGTRAP:
		info, err := syscallInfo(tid)
		if err != nil {
			return s, 0, false
		}
		s.Kind = Leaves
		if info.op == unix.PTRACE_SYSCALL_INFO_ENTRY {
			s.Kind, th.call = Enters, int(info.nr)
		}
		s.Call = th.call
	default:
		if th.passing != 0 {
			t.passed(th)
		}
		if _, set := t.traps[uintptr(regs.Rip-1)]; set && byTrap(tid) {
			regs.Rip--
			_ = unix.PtraceSetRegs(tid, &regs)
		}
	}
	s.PC, s.stack = uintptr(regs.Rip), [2]uint64{regs.Rsp, regs.Rbp}
	return s, 0, true
}

// stepsOn notes whether a thread is in the region. If it has just left it by a call,
// which has pushed where it will return to, there will be a trap.
func (t *Tracee) stepsOn(s Stop) bool {
	th := t.threads[s.TID]
	called := th.inside && s.stack[0] == th.sp-8
	th.inside, th.sp = t.region(s.PC), s.stack[0]
	if th.inside || !called {
		return th.inside
	}
	var word [8]byte
	if _, err := t.mem.ReadAt(word[:], int64(s.stack[0])); err == nil {
		_ = t.Trap(uintptr(binary.NativeEndian.Uint64(word[:]))) // it can fail only if the process is dying
	}
	return false
}

// pass lets a thread that stands at a trap go on behind it.
func (t *Tracee) pass(s Stop) error {
	old, ok := t.traps[s.PC]
	if !ok || s.Kind != At {
		return nil
	}
	t.threads[s.TID].passing = s.PC
	t.passers[s.PC]++
	return t.poke(s.PC, old)
}

// passed sets the trap again once nobody stands on it.
func (t *Tracee) passed(th *thread) {
	addr := th.passing
	th.passing = 0
	if t.passers[addr]--; t.passers[addr] == 0 {
		_ = t.poke(addr, trapCode) // it can fail only if the process is dying
	}
}
