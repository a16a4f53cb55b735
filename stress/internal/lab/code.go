package lab

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

// A Line is one step of a program: an instruction, or where there is no stepping by
// instruction a line of the source.
type Line struct {
	Addr   uint64 `json:"addr,omitempty"`
	Asm    string `json:"asm,omitempty"`
	Source string `json:"source"`
	Number int    `json:"number"`
	Passed bool   `json:"passed,omitempty"` // of no consequence: it is gone through at full speed
	call   bool
}

// Text is what a step is called.
func (l Line) Text() string {
	if l.Asm != "" {
		return l.Asm
	}
	return l.Source
}

// A code is all steps of an addition.
type code struct {
	lines []Line
	first int // the first step that matters
	take  int // the one that takes the lock of our own, or -1
	store int // the one that stores
	last  int // the last one that matters
}

// operations are the steps of the engine "op".
func operations(p *Program) *code {
	c := &code{take: -1}
	for _, l := range p.body() {
		if !matters(l.Source) {
			continue
		}
		c.note(l)
		c.lines = append(c.lines, l)
	}
	return c
}

// note notes what the next step is, if it is something special.
func (c *code) note(next Line) {
	at := len(c.lines)
	if stores(next.Source) {
		c.store = at
	}
	if takes(next.Source) {
		c.take = at
	}
	if matters(next.Source) {
		c.last = at
	}
}

// instructions are the steps of the engine "cpu". The processes run this same program at
// the same addresses, so this process reads its own text.
func instructions(p *Program) (*code, error) {
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		return nil, err
	}
	defer mem.Close()
	const most = 512 // bytes; each of these functions is shorter
	text := make([]byte, most)
	entry := p.entry()
	if _, err := mem.ReadAt(text, int64(entry)); err != nil {
		return nil, err
	}
	c, lines := &code{take: -1}, source()
	for at := 0; at < most-16 && runtime.FuncForPC(entry+uintptr(at)).Entry() == entry; {
		inst, err := x86asm.Decode(text[at:], 64)
		if err != nil {
			return nil, fmt.Errorf("the instruction at %#x: %w", entry+uintptr(at), err)
		}
		if inst.Op == x86asm.INT { // it fills up to the next function
			break
		}
		pc := uint64(entry) + uint64(at)
		// A frame is looked up by a return address, hence + 1.
		frame, _ := runtime.CallersFrames([]uintptr{uintptr(pc) + 1}).Next()
		l := Line{Addr: pc, Asm: assembler(inst, pc), Number: frame.Line, call: inst.Op == x86asm.CALL}
		if 0 < frame.Line && frame.Line <= len(lines) {
			l.Source = strings.TrimSpace(lines[frame.Line-1])
		}
		if l.call && c.first == 0 {
			c.first = len(c.lines) // what is before it only makes a frame
		}
		c.note(l)
		c.lines = append(c.lines, l)
		at += inst.Len
	}
	for i := range c.lines {
		c.lines[i].Passed = i < c.first || i > c.last
	}
	return c, nil
}

// assembler is an instruction as Go's assembler writes it, with short names.
func assembler(inst x86asm.Inst, pc uint64) string {
	name := func(addr uint64) (string, uint64) {
		f := runtime.FuncForPC(uintptr(addr))
		if f == nil {
			return "", 0
		}
		return strings.NewReplacer("interlock/mutex.", "", "interlock/stress/internal/lab.", "", "(*", "", ")", "").Replace(f.Name()), uint64(f.Entry())
	}
	text := x86asm.GoSyntax(inst, pc, name)
	return strings.TrimSuffix(strings.ReplaceAll(text, " 0(", " ("), "(SB)")
}

// index is the step at an address, or -1.
func (c *code) index(pc uintptr) int {
	for i, l := range c.lines {
		if l.Addr == uint64(pc) {
			return i
		}
	}
	return -1
}
