// What holds for the table:
//   - every line runs, and its rows have positive figures, or say why not;
//   - without a C compiler and without the go command the rest is still there;
//   - a wrong count, a worker that dies and an interrupt are told apart, and what was
//     measured before stays;
//   - nothing is left behind: no process, no file, no System V object.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/race"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/bench/work"
	"interlock/stress/internal/report"
)

// table makes one, and fails the test if it ended early.
func table(t *testing.T, names ...string) *Result {
	t.Helper()
	res := Run(t.Context(), names, Short, Watch{})
	t.Logf("\n%s", Head())
	for _, r := range res.Rows {
		t.Log(r.Text())
	}
	t.Log(res.Summary())
	if res.Problem != "" || res.Code != report.Pass && res.Code != report.Late {
		t.Fatalf("exit code %d: %s", res.Code, res.Problem)
	}
	return res
}

func (res *Result) lines() map[string][]*Row {
	m := map[string][]*Row{}
	for _, r := range res.Rows {
		m[r.Line] = append(m[r.Line], r)
	}
	return m
}

func TestEveryLineHasFigures(t *testing.T) {
	if race.Enabled {
		t.Skip("what the race detector costs is of no interest; the next test runs the workers with it")
	}
	_, noC := exec.LookPath("gcc")
	res := table(t)
	rows := res.lines()
	for _, l := range lines() {
		if len(rows[l.name]) == 0 {
			t.Errorf("%s: no row", l.name)
		}
		for _, r := range rows[l.name] {
			rival := strings.Contains(r.Against, "gVisor") || strings.Contains(r.Against, "gofrs")
			switch {
			case r.Skipped == "":
				if err := r.check(); err != nil {
					t.Error(err)
				}
			case rival, noC != nil && strings.Contains(r.Against, " in C"), len(cpus()) < 2:
				t.Logf("%s %s: skipped: %s", r.Line, r.Name, r.Skipped)
			default:
				t.Errorf("%s %s against %s: skipped: %s", r.Line, r.Name, r.Against, r.Skipped)
			}
		}
	}
	for name, write := range Formats {
		var b strings.Builder
		if err := write(&b, res); err != nil || b.Len() < 1000 {
			t.Errorf("%s: %d bytes, %v", name, b.Len(), err)
		}
		if name == "json" && !json.Valid([]byte(b.String())) {
			t.Error("the JSON is none")
		}
	}
}

func TestWithoutCompilersTheRestIsThere(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	res := table(t, "lock", "sem", "contended", "open", "handoff", "recovery", "memory")
	for name, rows := range res.lines() {
		for _, r := range rows {
			foreign := strings.Contains(r.Against, "glibc") || strings.Contains(r.Against, "gVisor") || strings.Contains(r.Against, "gofrs")
			if foreign != (r.Skipped != "") && len(cpus()) >= 2 {
				t.Errorf("%s %s against %q: skipped %q", name, r.Name, r.Against, r.Skipped)
			}
		}
	}
}

// rig is what a line would get.
func rig(t *testing.T) *Rig {
	t.Helper()
	dir := t.TempDir()
	r := &Rig{Config: Short, ctx: t.Context(), line: "test", dir: dir, tools: newTools(t.Context(), dir), emit: func(*Row) {}}
	t.Cleanup(r.dismiss)
	return r
}

func TestAWrongCountIsFound(t *testing.T) {
	r := rig(t)
	q, err := r.quarrel(2, r.workers)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.rate(10 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	q.board.Counter-- // as if one had not been excluded
	if _, err := q.rate(10 * time.Millisecond); !errors.Is(err, work.ErrBroke) {
		t.Errorf("a count too low: %v", err)
	}
}

func TestAMessageThatIsNotTheNextIsFound(t *testing.T) {
	message := make([]byte, 192)
	fill(message, 7)
	if isLast, err := check(message, 7); isLast || err != nil {
		t.Errorf("a good one: %v %v", isLast, err)
	}
	fill(message, 8|last)
	if isLast, err := check(message, 8); !isLast || err != nil {
		t.Errorf("a last one: %v %v", isLast, err)
	}
	for at := range message {
		message[at] ^= 0x10
		if _, err := check(message, 8); !errors.Is(err, work.ErrBroke) {
			t.Errorf("byte %d of another message: %v", at, err)
		}
		message[at] ^= 0x10
	}
}

func TestAWorkersDeathIsNoResult(t *testing.T) {
	r := rig(t)
	p, err := r.alone(false)
	if err != nil {
		t.Fatal(err)
	}
	p.kill()
	if _, err := best("mutex", p)(time.Millisecond); !errors.Is(err, errDied) && !errors.Is(err, unix.EPIPE) {
		t.Errorf("after a kill: %v", err)
	}
	if p, err = r.alone(false); err != nil {
		t.Fatal(err)
	}
	if _, err = best("nonsense", p)(time.Millisecond); err == nil || !strings.Contains(err.Error(), "no mode nonsense") {
		t.Errorf("a worker that cannot: %v", err)
	}
}

func TestHowItEnded(t *testing.T) {
	missed := &Row{Unit: Nanoseconds, Ours: []float64{2}, Peer: []float64{1}, Reach: atMost(1)}
	for _, c := range []struct {
		err  error
		code report.Code
	}{
		{nil, report.Late},
		{context.Canceled, report.Interrupted},
		{fmt.Errorf("x: %w", errHang), report.Hang},
		{fmt.Errorf("x: %w", errDied), report.Died},
		{fmt.Errorf("x: %w", work.ErrBroke), report.Broke},
		{errors.New("no memory"), report.Setup},
	} {
		res := &Result{Rows: []*Row{missed}}
		if res.end(c.err); res.Code != c.code || (c.err == nil) != (res.Problem == "") {
			t.Errorf("%v: code %d, problem %q", c.err, res.Code, res.Problem)
		}
	}
}

func TestAnInterruptKeepsWhatThereIs(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	res := Run(ctx, []string{"lock", "memory"}, Short, Watch{Row: func(r *Row) {
		if r.Line == "lock" {
			cancel()
		}
	}})
	if res.Code != report.Interrupted || len(res.lines()["lock"]) == 0 || len(res.lines()["memory"]) > 0 {
		t.Errorf("code %d, %d rows", res.Code, len(res.Rows))
	}
}

func TestUnknownLine(t *testing.T) {
	var unknown UnknownLine
	if err := Check([]string{"lock", "lokc"}); !errors.As(err, &unknown) || unknown != "lokc" {
		t.Error(err)
	}
	if chosen, err := match([]string{"se*", "lock"}); err != nil || len(chosen) != 3 || chosen[0].name != "lock" {
		t.Errorf("%d lines, %v", len(chosen), err)
	}
}

func TestReclaim(t *testing.T) {
	r := rig(t)
	args, _, err := sysvQueue(r, "")
	if err != nil {
		t.Skip(err)
	}
	exists := func() bool {
		list, err := os.ReadFile("/proc/sysvipc/msg")
		if err != nil {
			t.Skip(err)
		}
		for _, l := range strings.Split(string(list), "\n") {
			if f := strings.Fields(l); len(f) > 1 && f[1] == args[0] {
				return true
			}
		}
		return false
	}
	if !exists() {
		t.Fatal("no queue")
	}
	Reclaim(r.dir)
	if exists() {
		t.Error("the queue is still there")
	}
	if notes, _ := filepath.Glob(filepath.Join(r.dir, "sysv.*")); len(notes) != 1 {
		t.Errorf("%d notes of one object", len(notes))
	}
}

func TestTheCHistogramCountsAsOurs(t *testing.T) {
	r := rig(t)
	q, err := r.quarrel(2*len(cpus())+2, r.glibc)
	if err != nil {
		t.Skip(err)
	}
	found, err := q.slice(100*time.Millisecond, "timed")
	if err != nil {
		t.Fatal(err)
	}
	longest := int64(0)
	for _, a := range found {
		if n := a.Waits.TotalCount(); uint64(n) != a.Ops || a.Waits.Min() < 1 {
			t.Errorf("%d waits of %d operations, the shortest %d ns", n, a.Ops, a.Waits.Min())
		}
		longest = max(longest, a.Waits.Max())
		if sum := a.Waits.Mean() * float64(a.Ops); sum > 1.02*float64(a.Elapsed) {
			t.Errorf("it waited for %.0f ns of %v", sum, a.Elapsed)
		}
	}
	// Not all of them can have a CPU.
	if longest < int64(10*time.Microsecond) {
		t.Errorf("nobody waited for more than %d ns", longest)
	}
}

func TestTheMeterSeesOthers(t *testing.T) {
	m := startMeter()
	if m.cpus == 0 {
		t.Skip("no /proc/stat")
	}
	end := arena.Now() + int64(300*time.Millisecond)
	for arena.Now() < end {
	}
	if l := m.read(); !l.Known || l.Others < 0 || l.Others > 1 {
		t.Errorf("%+v", l)
	}
	m.mine += 0.3 // as if the same time had been used by somebody else
	if l := m.read(); l.Others < calm || l.Calm() {
		t.Errorf("300 ms of another process go unnoticed: %+v", l)
	}
}
