package explore

import (
	"fmt"
	"os"
	"testing"
	"unsafe"

	"interlock/stress/internal/schedule/sim"
	"interlock/stress/internal/schedule/sim/atomic"
	"interlock/stress/internal/schedule/sim/unix"
)

// The tests' own programs, in place of the library's source.
var programs = map[string]func(word *atomic.Uint32){
	sim.Prelude:    func(word *atomic.Uint32) {},
	"add":          func(word *atomic.Uint32) { word.Add(1) },
	"load, store":  func(word *atomic.Uint32) { word.Store(word.Load() + 1) },
	"sleep":        func(word *atomic.Uint32) { futex(word, 0, 0) },
	"look, sleep":  func(word *atomic.Uint32) { _ = word.Load() == 0 && futex(word, 0, 0) == 0 },
	"set, wake":    func(word *atomic.Uint32) { word.Store(1); futex(word, 1, 1) },
	"wake, set":    func(word *atomic.Uint32) { futex(word, 1, 1); word.Store(1) },
	"set, private": func(word *atomic.Uint32) { word.Store(1); futex(word, 1|128, 1) },
}

func futex(word *atomic.Uint32, op, val uintptr) unix.Errno {
	_, _, errno := unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(word)), op, val, 0, 0, 0)
	return errno
}

func TestMain(m *testing.M) {
	for range 2 {
		sim.AddProgram(func(role string, memory uintptr) {
			programs[role](*(**atomic.Uint32)(unsafe.Pointer(&memory)))
		})
	}
	os.Exit(m.Run())
}

// outcomes is what becomes of two roles, over all schedules.
func outcomes(bound cost, roles ...string) map[string]int {
	var processes [][]string
	for _, r := range roles {
		processes = append(processes, []string{r})
	}
	found := map[string]int{}
	s := &search{bound: bound}
	for again := true; again; again = s.next() {
		s.begin()
		value := ""
		x := sim.Execute(sim.Config{Processes: processes, Chooser: s, Kill: bound.kills > 0, Final: func() string {
			value = fmt.Sprint(sim.Peek(0))
			return ""
		}})
		if x.Failure != "" {
			value = "asleep"
		}
		found[value]++
	}
	return found
}

// What the simulated machine does with a few steps is what a machine does.
func TestMachine(t *testing.T) {
	for _, c := range []struct {
		roles []string
		bound cost
		want  []string
	}{
		{[]string{"add", "add"}, cost{2, 0}, []string{"2"}},
		{[]string{"load, store", "load, store"}, cost{0, 0}, []string{"2"}},
		{[]string{"load, store", "load, store"}, cost{1, 0}, []string{"1", "2"}},
		{[]string{"load, store", "add"}, cost{0, 1}, []string{"1", "2"}},
		{[]string{"look, sleep", "set, wake"}, cost{2, 0}, []string{"1"}},
		{[]string{"look, sleep", "wake, set"}, cost{2, 0}, []string{"1", "asleep"}},
		{[]string{"look, sleep", "set, private"}, cost{2, 0}, []string{"1", "asleep"}},
		{[]string{"sleep", "set, wake"}, cost{0, 1}, []string{"1", "asleep"}},
	} {
		found := outcomes(c.bound, c.roles...)
		if len(found) != len(c.want) {
			t.Errorf("%q, %v: %v, not %v", c.roles, c.bound, found, c.want)
		}
		for _, w := range c.want {
			if found[w] == 0 {
				t.Errorf("%q, %v: %v, without %s", c.roles, c.bound, found, w)
			}
		}
	}
}

// A schedule that is followed again ends in the same way.
func TestAgain(t *testing.T) {
	s := &search{bound: cost{1, 0}}
	run := func(c sim.Chooser) (value uint32) {
		sim.Execute(sim.Config{Processes: [][]string{{"load, store"}, {"load, store"}}, Chooser: c, Final: func() string {
			value = sim.Peek(0)
			return ""
		}})
		return value
	}
	lost := 0
	for again := true; again; again = s.next() {
		s.begin()
		value := run(s)
		r, err := newReplay(s.log.String())
		if err != nil {
			t.Fatal(err)
		}
		if got := run(r); got != value || r.wrong != "" {
			t.Errorf("schedule %s: %d, then %d %s", s.log, value, got, r.wrong)
		}
		if value == 1 {
			lost++
		}
	}
	if lost == 0 {
		t.Error("no update was lost")
	}
}

// The same seed is the same schedule, and seeds differ.
func TestSeeds(t *testing.T) {
	schedule := func(seed uint64) string {
		p := newPriorities(seed, 10, 0)
		sim.Execute(sim.Config{Processes: [][]string{{"load, store"}, {"load, store"}}, Chooser: p})
		return p.log.String()
	}
	seen := map[string]bool{}
	for seed := range uint64(50) {
		a := schedule(seed)
		if b := schedule(seed); a != b {
			t.Errorf("seed %d: %s, then %s", seed, a, b)
		}
		seen[a] = true
	}
	if len(seen) < 3 {
		t.Errorf("50 seeds are %d schedules", len(seen))
	}
}
