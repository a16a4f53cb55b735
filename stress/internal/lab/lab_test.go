package lab

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/race"
	"interlock/stress/internal/procfs"
	"interlock/stress/internal/ptrace"
	"interlock/stress/internal/refuse"
)

// What this test binary is when it is started by one of its tests.
const (
	asParent  = "_parent"  // makes a lab and waits to be killed
	asRefused = "_refused" // has no ptrace
)

// The test binary is its own process of the lab.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case WorkerCommand:
		os.Exit(Work(os.Args[2:]))
	case asParent:
		parent()
	case asRefused:
		refused()
	default:
		os.Exit(m.Run())
	}
}

var engines = []string{EngineCPU, EngineOp}

func newLab(t *testing.T, program, engine string) *Lab {
	t.Helper()
	if race.Enabled && engine == EngineCPU {
		t.Skip("the detector's instructions are not the program's")
	}
	l, err := New(Find(program), engine)
	if engine == EngineCPU && (errors.Is(err, ptrace.ErrRefused) || errors.Is(err, ptrace.ErrUnsupported)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// eachEngine runs a test with both.
func eachEngine(t *testing.T, f func(t *testing.T, engine string)) {
	for _, e := range engines {
		t.Run(e, func(t *testing.T) { f(t, e) })
	}
}

func play(t *testing.T, l *Lab, schedule string) State {
	t.Helper()
	if err := l.Play(schedule, func(Row) {}); err != nil {
		t.Fatal(err)
	}
	return l.State()
}

// All twenty orders, with real processes: each comes to what it must, and 18 lose.
func TestTwentyOrders(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		l, lost := newLab(t, "plain", engine), 0
		for _, order := range Orders(3) {
			if err := l.Reset(Find("plain")); err != nil {
				t.Fatal(err)
			}
			s := play(t, l, order)
			if s.N != Outcome(order) || s.Expected != 2 || s.Schedule != order {
				t.Errorf("%s: %d of %d, want %d; the schedule is said to be %s", order, s.N, s.Expected, Outcome(order), s.Schedule)
			}
			if s.N < 2 {
				lost++
			}
		}
		if lost != 18 || len(Orders(3)) != 20 {
			t.Errorf("%d of %d orders lose an addition", lost, len(Orders(3)))
		}
	})
}

// A schedule is the whole truth: the same one comes to the same, step by step, also
// where processes sleep, are woken, and die.
func TestASchedulePlaysTheSameAgain(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		l := newLab(t, "mutex", engine)
		r := rand.New(rand.NewPCG(1, 2))
		for round := range 8 {
			schedule := random(r, 60)
			if round%2 == 1 {
				schedule = schedule[:40] + "x" + schedule[40:]
			}
			first := replay(t, l, schedule)
			if again := replay(t, l, schedule); !reflect.DeepEqual(first, again) {
				t.Fatalf("%s\n%+v\n%+v", schedule, first, again)
			}
		}
	})
}

func replay(t *testing.T, l *Lab, schedule string) []Row {
	t.Helper()
	if err := l.Reset(Find("mutex")); err != nil {
		t.Fatal(err)
	}
	return play(t, l, schedule).Rows
}

func random(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "AB"[r.IntN(2)]
	}
	return string(b)
}

// Whatever the order: under the mutex nothing is lost, and never are both inside.
func TestNothingIsLostUnderTheMutex(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		l, slept := newLab(t, "mutex", engine), 0
		r := rand.New(rand.NewPCG(3, 4))
		for range 600 {
			row, err := l.Do("AB"[r.IntN(2)])
			if err != nil {
				t.Fatal(err)
			}
			s := l.State()
			if s.N != s.Expected {
				t.Fatalf("%s: %d of %d", s.Schedule, s.N, s.Expected)
			}
			if len(s.Queue) > 1 {
				t.Fatalf("%s: both sleep: %q", s.Schedule, s.Queue)
			}
			if row.Note == "sleeps" {
				slept++
			}
		}
		if slept == 0 {
			t.Error("nobody ever slept")
		}
	})
}

// toInside are the steps from home to before the store, under the lock.
var toInside = map[string]string{EngineCPU: "AAAAA", EngineOp: "AAA"}

// The holder is killed while the other sleeps for the lock: that one gets it, is told
// whose death it was, and both it and a burst go on.
func TestTheHolderIsKilled(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		l := newLab(t, "mutex", engine)
		for range 20 {
			if err := l.Reset(Find("mutex")); err != nil {
				t.Fatal(err)
			}
			s := play(t, l, toInside[engine]+"B")
			if len(s.Queue) != 1 || s.Procs[1].State != "asleep" || !strings.Contains(s.Lock, fmt.Sprintf("held by A (pid %d)", s.Procs[0].PID)) {
				t.Fatalf("B does not sleep behind A: %+v", s)
			}
			s = play(t, l, "x")
			want := fmt.Sprintf("process %d died holding it; process %d was told, and repaired", s.Procs[0].PID, s.Procs[1].PID)
			if s.Mended != want || s.Procs[0].State != "dead" || s.Procs[1].State != "stands" || len(s.Queue) != 0 {
				t.Fatalf("%+v", s)
			}
			if err := l.Burst(context.Background(), 1000); err != nil {
				t.Fatal(err)
			}
			if s = l.State(); s.N != 1001 || s.Expected != 1001 {
				t.Fatalf("%d of %d, want 1001", s.N, s.Expected)
			}
		}
	})
}

// At full speed: without a lock additions are lost, though on a busy machine perhaps not
// at the first try; with it none, also if they are in the middle of one when it begins.
func TestBurst(t *testing.T) {
	const each, tries = 1_000_000, 100
	if race.Enabled {
		t.Skip("the detector makes what is to run at full speed slow, and races rare")
	}
	eachEngine(t, func(t *testing.T, engine string) {
		for _, p := range Programs {
			l := newLab(t, p.Name, engine)
			play(t, l, "ABA")
			want, lost := 20, 0
			if !p.locked {
				want = tries
			}
			for i := 0; i < want && (p.locked || lost == 0); i++ {
				if err := l.Burst(context.Background(), each); err != nil {
					t.Fatal(err)
				}
				s := l.State()
				b := s.Bursts[i]
				if b.Of != 2*each || b.Got > b.Of || p.locked && (b.Got != b.Of || s.N != s.Expected) {
					t.Errorf("%s: %+v, %d of %d", p.Name, b, s.N, s.Expected)
				}
				lost += int(b.Of - b.Got)
			}
			t.Logf("%s: %d lost in %d runs", p.Name, lost, len(l.State().Bursts))
			if procs() > 1 && !p.locked && lost == 0 {
				t.Errorf("%s: nothing was lost in %d runs", p.Name, tries)
			}
		}
	})
}

// The lock of our own lets both in if each has looked before the other takes it; and who
// waits for a dead one looks for ever, and says so rather than doing it at full speed.
func TestALockOfOurOwn(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		l := newLab(t, "checked", engine)
		until := func(letters string, cond func(s State) bool) (s State) {
			for s = l.State(); !cond(s) && len(s.Rows) < 100; {
				s = play(t, l, letters)
			}
			return s
		}
		both := func(s State) bool { return s.Expected == 2 }
		if s := until("AB", both); s.N != 1 || s.Expected != 2 {
			t.Errorf("in turns: %d of %d, want 1 of 2", s.N, s.Expected)
		}
		if err := l.Reset(Find("checked")); err != nil {
			t.Fatal(err)
		}
		until("A", func(s State) bool { return s.Procs[0].Finished == 1 && s.Procs[0].Home })
		if s := until("B", both); s.N != 2 {
			t.Errorf("one after the other: %d of 2", s.N)
		}
		if err := l.Reset(Find("checked")); err != nil {
			t.Fatal(err)
		}
		until("A", func(s State) bool { return s.Procs[0].At >= s.Take })
		if s := play(t, l, "x"+strings.Repeat("B", 50)); s.Procs[1].At >= s.Take || s.Procs[1].Finished != 0 {
			t.Errorf("B is at %d, behind a dead holder", s.Procs[1].At)
		}
		if err := l.Burst(context.Background(), 10); !errors.Is(err, errSpins) {
			t.Error(err)
		}
	})
}

func procs() int {
	var set unix.CPUSet
	_ = unix.SchedGetaffinity(0, &set)
	return set.Count()
}

func TestParseSchedule(t *testing.T) {
	if s, err := ParseSchedule("AB. xy"); err != nil || s != "ABxy" {
		t.Errorf("%q %v", s, err)
	}
	for _, bad := range []string{"C", "a", "A,B", strings.Repeat("A", 10_001)} {
		if _, err := ParseSchedule(bad); err == nil {
			t.Errorf("%.10q is taken", bad)
		}
	}
}

// The processes end with the lab, and with who made it.
func TestNoProcessStays(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		newLab(t, "mutex", engine).Close()
		lists, _ := filepath.Glob("/proc/self/task/*/children")
		for _, list := range lists {
			if left, _ := os.ReadFile(list); len(left) > 0 {
				t.Errorf("processes left behind: %s", left)
			}
		}
		cmd := exec.Command("/proc/self/exe", asParent, engine)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var pids [2]int
		if _, err := fmt.Fscan(out, &pids[0], &pids[1]); err != nil {
			t.Error(err)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		for begin := time.Now(); ; time.Sleep(time.Millisecond) {
			if left := alive(pids); left == 0 {
				break
			} else if time.Since(begin) > patience {
				t.Fatalf("process %d lives on", left)
			}
		}
	})
}

func alive(pids [2]int) int {
	for _, pid := range pids {
		if s := procfs.State(pid, pid); s != "?" && s != "Z" {
			return pid
		}
	}
	return 0
}

func parent() {
	l, err := New(Find("mutex"), os.Args[2])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	s := l.State()
	fmt.Println(s.Procs[0].PID, s.Procs[1].PID)
	time.Sleep(2 * patience) // to be killed
}

// Where the kernel lets nobody be traced, it says so and goes on with the other engine.
func TestWithoutPtrace(t *testing.T) {
	out, err := exec.Command("/proc/self/exe", asRefused).CombinedOutput()
	if err != nil {
		if strings.Contains(string(out), "seccomp") {
			t.Skip(string(out))
		}
		t.Fatal(err, string(out))
	}
	if got := string(out); !strings.HasPrefix(got, EngineOp+" 1 of 2 ") || !strings.Contains(got, "ptrace") {
		t.Error(got)
	}
}

func refused() {
	if err := refuse.Call(unix.SYS_PTRACE); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	l, err := New(Find("plain"), "")
	if err == nil {
		err = l.Play("ABABAB", func(Row) {})
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	s := l.State()
	fmt.Println(s.Engine, s.N, "of", s.Expected, s.Why)
	l.Close()
}
