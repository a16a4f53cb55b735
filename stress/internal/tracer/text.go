package tracer

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
)

// Which instructions are this library's: those of its functions, with what the compiler
// has copied into them. (What it has copied from them into others it shows badly; so the
// victims here call the library through function values.) The victim runs the same program
// at the same addresses, so what this process knows of its own text goes for the victim's.
type text struct {
	functions map[uintptr]kind // by their first instruction
	pauses    map[uintptr]int  // how often it was at the instructions of a pause
}

type kind int

const (
	foreign kind = iota
	library
	protocol // a primitive, or what it waits with
	pause    // the library's, a loop of PAUSE
	program  // the victim's own
)

func newText() *text {
	return &text{map[uintptr]kind{}, map[uintptr]int{}}
}

const (
	modulePath  = "interlock/"
	programPath = "interlock/stress/"
	pausePath   = "interlock/internal/spin."

	// manyPauses is how often a loop of PAUSE instructions is gone through step by step.
	manyPauses = 100
)

func (t *text) kind(pc uintptr) kind {
	f := runtime.FuncForPC(pc)
	if f == nil {
		return foreign
	}
	k, ok := t.functions[f.Entry()]
	if !ok {
		k = kindOf(functionAt(f.Entry()))
		t.functions[f.Entry()] = k
	}
	return k
}

// protocols are the packages in which it matters how often one came by already.
var protocols = regexp.MustCompile(`^interlock/(mutex|semaphore|condvar|seqlock|shm)\.`)

func kindOf(function string) kind {
	switch {
	case strings.HasPrefix(function, pausePath):
		return pause
	case strings.HasPrefix(function, programPath):
		return program
	case protocols.MatchString(function):
		return protocol
	case strings.HasPrefix(function, modulePath):
		return library
	}
	return foreign
}

// functionAt is the name of the function that begins at entry. Of an instruction that the
// compiler has copied there only the function that it comes from is known; so this looks
// for one that it has not copied.
func functionAt(entry uintptr) string {
	for pc := entry; ; pc++ {
		f := runtime.FuncForPC(pc)
		if f == nil || f.Entry() != entry {
			return ""
		}
		if frame, _ := runtime.CallersFrames([]uintptr{pc + 1}).Next(); frame.Func != nil { // a return address is expected
			return frame.Function
		}
	}
}

// ours reports whether the instruction at pc is the library's.
func (t *text) ours(pc uintptr) bool {
	k := t.kind(pc)
	return k == library || k == protocol || k == pause
}

// steps reports whether the victim goes by single steps at pc: in the library, and in the
// victim's own functions.
func (t *text) steps(pc uintptr) bool {
	switch t.kind(pc) {
	case foreign:
		return false
	case pause:
		t.pauses[pc]++
		return t.pauses[pc] <= manyPauses
	}
	return true
}

// entries are the first instructions of all functions of this module.
var entries = sync.OnceValue(func() (found []uintptr) {
	const align = 16 // at the least
	lo, hi := bounds()
	t := newText()
	for pc := lo; pc < hi; pc += align {
		if f := runtime.FuncForPC(pc); f != nil && f.Entry() == pc && t.kind(pc) != foreign {
			found = append(found, pc)
		}
	}
	return found
})

// bounds is where this program's instructions are.
func bounds() (lo, hi uintptr) {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return 0, 0
	}
	here := endAddress()
	for _, line := range strings.Split(string(text), "\n") {
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err == nil && from <= here && here < to {
			return from, to
		}
	}
	return 0, 0
}

// place says where an address is, for people.
func place(pc uintptr) string {
	f, _ := runtime.CallersFrames([]uintptr{pc + 1}).Next()
	return fmt.Sprintf("%s, %s:%d, %#x", strings.TrimPrefix(f.Function, modulePath), filepath.Base(f.File), f.Line, pc)
}
