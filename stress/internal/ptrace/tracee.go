//go:build amd64

package ptrace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Supported reports whether this architecture has a tracer.
const Supported = true

// trapCode is INT3, one byte: it can stand in place of any instruction.
const trapCode = 0xcc

// A Tracee is a process, all threads of which are traced.
type Tracee struct {
	PID     int
	mem     *os.File
	threads map[int]*thread
	traps   map[uintptr]byte // what stood there
	passers map[uintptr]int  // how many threads are on their way over a trap
	region  func(pc uintptr) bool
	gone    bool
}

type thread struct {
	call     int     // the system call it is in
	passing  uintptr // it is being stepped over this trap
	inside   bool    // it stood in the region last: Step
	sp       uint64  // its stack pointer then
	standing bool
}

// Attach traces all threads of a process, and stops them, which ends no system call;
// Start lets them go on. Threads to come are traced from their first instruction. If the
// tracer dies, so does the process.
func Attach(pid int) (*Tracee, error) {
	t := &Tracee{PID: pid, threads: map[int]*thread{}, traps: map[uintptr]byte{}, passers: map[uintptr]int{}}
	var err error
	if t.mem, err = os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	// Until a pass finds no new one while all others stand still. A thread that was in
	// the middle of making another one when it was seized makes it untraced.
	for found := true; found && err == nil; {
		if found, err = t.seizeNew(); err == nil {
			err = t.Freeze()
		}
	}
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Tracee) seizeNew() (found bool, err error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", t.PID))
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrGone, err)
	}
	for _, e := range entries {
		tid, _ := strconv.Atoi(e.Name())
		if tid == 0 || t.threads[tid] != nil {
			continue
		}
		err := seize(tid, unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_EXITKILL)
		switch {
		case err == nil:
			t.threads[tid] = &thread{}
			found = true
		case errors.Is(err, unix.ESRCH): // it has ended
		case tracedByUs(tid): // made by one that was traced already; its first stop is to come
			t.threads[tid] = &thread{}
		default:
			return false, fmt.Errorf("%w: %w", ErrRefused, err)
		}
	}
	return found, nil
}

func tracedByUs(tid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	return err == nil && tracerOf(text) == unix.Gettid()
}

// Close forgets the process, which must have ended.
func (t *Tracee) Close() { t.mem.Close() }

// Trap stops every thread that comes to addr, before the instruction there. Nobody
// may be executing it just now.
func (t *Tracee) Trap(addr uintptr) error {
	if _, ok := t.traps[addr]; ok {
		return nil
	}
	var old [1]byte
	if _, err := t.mem.ReadAt(old[:], int64(addr)); err != nil {
		return err
	}
	t.traps[addr] = old[0]
	return t.poke(addr, trapCode)
}

// Region says what Step is to go through instruction by instruction, and where all ways
// into it begin. (Elsewhere threads run at full speed; where one comes back by a return
// there will be a trap.)
func (t *Tracee) Region(in func(pc uintptr) bool, entries []uintptr) error {
	t.region = in
	for _, addr := range entries {
		if err := t.Trap(addr); err != nil {
			return err
		}
	}
	return nil
}

// Clear takes back all traps and the region. No thread may be on its way over a trap.
func (t *Tracee) Clear() error {
	for addr, old := range t.traps {
		if err := t.poke(addr, old); err != nil {
			return err
		}
		delete(t.traps, addr)
	}
	t.region = func(uintptr) bool { return false }
	return nil
}

// Registers are those of a thread that stands still, by the names that Go's assembler
// has for them.
func (t *Tracee) Registers(s Stop) ([]Register, error) {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(s.TID, &r); err != nil {
		return nil, err
	}
	return []Register{{"AX", r.Rax}, {"BX", r.Rbx}, {"CX", r.Rcx}, {"DX", r.Rdx}, {"SI", r.Rsi}, {"DI", r.Rdi},
		{"SP", r.Rsp}, {"IP", r.Rip}, {"FLAGS", r.Eflags}}, nil
}

func (t *Tracee) poke(addr uintptr, b byte) error {
	_, err := t.mem.WriteAt([]byte{b}, int64(addr))
	return err
}

// Callers returns the return addresses on the stack of a thread that stands still,
// innermost first: what the frame pointers lead to, and the topmost word, which is
// one where a function without a frame stands.
func (t *Tracee) Callers(s Stop, most int) []uintptr {
	var found []uintptr
	var word [16]byte
	if _, err := t.mem.ReadAt(word[:8], int64(s.stack[0])); err == nil {
		found = append(found, uintptr(binary.NativeEndian.Uint64(word[:8])))
	}
	for frame := s.stack[1]; frame != 0 && len(found) < most; {
		if _, err := t.mem.ReadAt(word[:], int64(frame)); err != nil {
			break
		}
		found = append(found, uintptr(binary.NativeEndian.Uint64(word[8:])))
		next := binary.NativeEndian.Uint64(word[:8])
		if next <= frame {
			break
		}
		frame = next
	}
	return found
}

// Kill ends the process: no thread that stands still executes another instruction.
func (t *Tracee) Kill() {
	if !t.gone {
		_ = unix.Kill(t.PID, unix.SIGKILL)
	}
}

// Reap waits until nothing of the process is left. It must be dying.
func (t *Tracee) Reap() {
	for !t.gone {
		if _, _, err := t.wait(); err != nil {
			return
		}
	}
}
