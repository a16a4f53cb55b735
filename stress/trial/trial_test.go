package trial

import (
	"bytes"
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"interlock/mutex"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/report"
)

// The locks of these tests. Each is over the first bytes of its memory.
var (
	broken = Lock{Name: "broken", Size: 8, Attach: func(mem []byte) (sync.Locker, error) { return arena.At[checkThenSet](mem, 0), nil }}
	spins  = Lock{Name: "spins", Size: 8, Attach: func(mem []byte) (sync.Locker, error) { return arena.At[spin](mem, 0), nil },
		State: func(mem []byte) string { return "spelt out" }}
	ours = Lock{Name: "ours", Size: arena.SizeOf[mutex.Mutex](), Attach: func(mem []byte) (sync.Locker, error) {
		mu := arena.At[mutex.Mutex](mem, 0)
		mu.OnOwnerDeath(func(int) error { return nil })
		return mu, nil
	}}
	refuses = Lock{Name: "refuses", Attach: func([]byte) (sync.Locker, error) { return nil, errors.New("no lock on purpose") }}
	shows   = Lock{Name: "shows", Size: 100, Attach: func(mem []byte) (sync.Locker, error) {
		if len(mem) != 100 || cap(mem) != 100 || !bytes.Equal(mem, make([]byte, 100)) || arena.Address(&mem[0])%64 != 0 {
			return nil, errors.New("not what was promised")
		}
		return &sync.Mutex{}, nil // one process, so it will do
	}}
)

func TestMain(m *testing.M) {
	plans := wrongPlans()
	for _, l := range []Lock{broken, spins, ours, refuses, shows} {
		plans = append(plans, l.plan())
	}
	work(plans)
	os.Exit(m.Run())
}

type checkThenSet struct{ taken atomic.Uint32 }

func (l *checkThenSet) Lock() {
	for l.taken.Load() != 0 {
		runtime.Gosched()
	}
	runtime.Gosched()
	l.taken.Store(1)
}

func (l *checkThenSet) Unlock() { l.taken.Store(0) }

type spin struct{ taken atomic.Uint32 }

func (l *spin) Lock() {
	for !l.taken.CompareAndSwap(0, 1) {
		runtime.Gosched()
	}
}

func (l *spin) Unlock() { l.taken.Store(0) }

func try(t *testing.T, l Lock, o Options) *Result {
	t.Helper()
	r, err := Run(context.Background(), l, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	return r
}

// What is wrong with a lock is said in so many words, and who it was.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		lock Lock
		o    Options
		code report.Code
		want []string
	}{
		{broken, Options{Duration: time.Second}, report.Broke, []string{"two were inside at the same time", "two were inside", "(pid ", "updates lost"}},
		{spins, Options{Duration: time.Second, Procs: 2, Goroutines: 2}, report.Pass, nil},
		{spins, Options{Duration: time.Minute, Kills: 50, Hang: time.Second}, report.Hang,
			[]string{"inside: lane", "killed", "nobody has given the lock back", "waiting", "the lock: spelt out"}},
		{refuses, Options{}, report.Setup, []string{"no lock on purpose"}},
		{shows, Options{Procs: 1, Duration: 200 * time.Millisecond}, report.Pass, nil},
	} {
		r := try(t, c.lock, c.o)
		if r.Code != int(c.code) || r.Passed != (c.code == report.Pass) || !strings.Contains(r.Line, c.lock.Name) {
			t.Errorf("%s: %v", c.lock.Name, r)
		}
		for _, want := range c.want {
			if !strings.Contains(r.String(), want) {
				t.Errorf("%s: no %q in\n%v", c.lock.Name, want, r)
			}
		}
	}
}

// A lock that survives its holders passes, and what it guards is repaired.
func TestOursSurvives(t *testing.T) {
	for lasts := time.Second; ; lasts *= 2 { // a busy machine takes long to replace the dead
		r := try(t, ours, Options{Duration: lasts, Kills: 100})
		if !r.Passed && r.Code != int(report.Late) {
			t.Fatal(r)
		}
		if r.HeldKills > 0 && r.Recovered >= r.HeldKills && r.Recovery.Count == int64(r.Recovered) && r.Wait.Count > 0 && r.Hold.Longest > 0 {
			return
		}
		if lasts > time.Minute {
			t.Fatalf("%d kills, %d of them inside, %d recovered", r.Kills, r.HeldKills, r.Recovered)
		}
	}
}

// Without Work a program would start itself, and again.
func TestWithoutWork(t *testing.T) {
	ready.Store(false)
	defer ready.Store(true)
	if _, err := Run(context.Background(), ours, Options{}); !errors.Is(err, ErrNoWork) {
		t.Errorf("%v", err)
	}
}

func TestWhatCannotBe(t *testing.T) {
	for _, c := range []struct {
		lock Lock
		o    Options
		want string
	}{
		{Lock{Attach: ours.Attach}, Options{}, "a word"},
		{Lock{Name: "a b", Attach: ours.Attach}, Options{}, "a word"},
		{Lock{Name: "x"}, Options{}, "no Attach"},
		{Lock{Name: "x", Attach: ours.Attach, Size: -1}, Options{}, "Size"},
		{ours, Options{Procs: -1}, "Procs"},
		{ours, Options{Goroutines: 5000}, "Goroutines"},
		{ours, Options{Kills: -1}, "Kills"},
		{ours, Options{Duration: -1}, "negative"},
		{ours, Options{Hang: 1}, "hiccup"},
	} {
		if r, err := Run(context.Background(), c.lock, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, %v", c.want, r, err)
		}
	}
}

// Main's flags and names; a failure leaves its folder.
func TestCommand(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	all := []Lock{broken, ours}
	for line, c := range map[string]struct {
		code report.Code
		want string
	}{
		"x -duration 100ms ours":               {report.Pass, "PASS ours"},
		"x -duration 300ms -procs 3 broken":    {report.Broke, tmp},
		"x -seed 7 -duration 200ms":            {report.Broke, "again: x -procs 4 -goroutines 8 -duration 200ms -kill 0 -hang 5s -seed 0x7 broken"},
		"x nosuch":                             {report.Usage, "there are: broken, ours"},
		"x -procs 2000":                        {report.Usage, "between 1 and"},
		"x -nosuch":                            {report.Usage, "-goroutines"},
		"x -h":                                 {report.Pass, "Locks: broken, ours"},
		"x -duration 100ms -goroutines 1 ours": {report.Pass, "longest"},
	} {
		var out bytes.Buffer
		if code := command(context.Background(), all, strings.Fields(line), &out, &out); code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: code %d, want %d with %q in\n%s", line, code, c.code, c.want, &out)
		}
	}
}

// A program that go run has built cannot be called by its path again.
func TestHowToCallItAgain(t *testing.T) {
	for path, want := range map[string]string{
		"ownlock":                              "ownlock",
		"/opt/bin/ownlock":                     "/opt/bin/ownlock",
		"/tmp/go-build3251833064/b001/exe/own": "go run interlock/stress/trial.test", // as this program is called
	} {
		if got := called(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
