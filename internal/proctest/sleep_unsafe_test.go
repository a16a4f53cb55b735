package proctest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	Register("sleeper", func(c *Child) {
		mem := c.Memory(0)
		c.Say("asleep in a moment")
		sleepOn(mem)
	})
}

// sleepOn waits, shared, while the first word of mem is 0.
func sleepOn(mem []byte) {
	const futexWait = 0
	unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&mem[0])), futexWait, 0, 0, 0, 0)
}

func TestSleepersAreSeen(t *testing.T) {
	f, _ := Memfd(t, os.Getpagesize())
	idle := Start(t, "waits")
	idle.Expect("here")
	p := Start(t, "sleeper", Files(f))
	p.Expect("asleep in a moment")
	AwaitSleepers(t, p.Pid, 1)
	// The Go runtime's own threads sleep on private words and do not count.
	if n := Sleepers(idle.Pid); n != 0 {
		t.Fatalf("%d sleepers in a process that has none", n)
	}
	if s := Describe(p.Pid); !strings.Contains(s, fmt.Sprintf("syscall %s 0x", sysFutex())) {
		t.Fatalf("Describe does not show the futex call:\n%s", s)
	}
	p.Kill()
}

func TestSleepsOnShared(t *testing.T) {
	for line, want := range map[string]bool{
		"202 0xc000 0x0 0x1 0x0 0x0 0x0 0x7f 0x45":   sysFutex() == "202",
		"202 0xc000 0x80 0x1 0x0 0x0 0x0 0x7f 0x45":  false,
		"449 0x7f00 0x2 0x0 0xc000 0x1 0x0 0x7f 0x4": true,
		"0 0x0 0xc000 0x1000 0x0 0x0 0x0 0x7f 0x45":  false,
		"running":    false,
		"-1 0x7f 0x": false,
		"":           false,
	} {
		if got := sleepsOnShared(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
