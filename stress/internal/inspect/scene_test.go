package inspect

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"interlock/internal/layout"
	"interlock/internal/proctest"
)

func TestFreshMemoryIsFine(t *testing.T) {
	s := newStage(t)
	scene := s.look(Options{})
	if Code(scene) != 0 || len(scene.Cycles) != 0 {
		t.Errorf("code %d", Code(scene))
	}
	text := print(scene)
	says(t, text, s.name+": POSIX segment", fmt.Sprintf("inspect.board, fingerprint 0x%016x, made by %d", layout.Fingerprint(reflect.TypeFor[board]()), os.Getpid()),
		"Mu[…] mutex: 4, 4 free", "Users[…].Mu mutex: 3, 3 free", "Users[2].ID = 0", "Sem semaphore: empty", "Cond cond: idle",
		"Config seqlock: whole", "Wide seqlock: whole", "Twin doublebuffer: whole", "OK: 12 primitives, 0 held")
}

// What the bytes say is what the primitives' own methods say.
func TestItReadsWhatTheMethodsSay(t *testing.T) {
	s := newStage(t)
	p := s.actor()
	do(p, "lock 1")
	it := s.item("Mu[1]", "held", nil)
	if pid, held := s.Mu[1].Owner(); !held || it.Holder == nil || it.Holder.PID != pid || pid != p.Pid {
		t.Errorf("Owner: %d %v; holder %v, actor %d", pid, held, it.Holder, p.Pid)
	}
	if it.Level != Fine || it.Holder.halted() {
		t.Errorf("%+v", it)
	}
	for range 3 {
		do(p, "release")
	}
	if it := s.item("Sem", "permits", nil); it.Text != fmt.Sprintf("%d permits", s.Sem.Value()) || s.Sem.Value() != 3 {
		t.Errorf("%q, Value %d", it.Text, s.Sem.Value())
	}
	s.Cond.Signal()
	s.Cond.Broadcast()
	if it := s.item("Cond", "idle", nil); it.Text != "2 signals, 1 of them broadcasts" {
		t.Errorf("%q", it.Text)
	}
	p.Kill()
	pid, held := s.Mu[1].Owner()
	it = s.item("Mu[1]", "orphan", nil)
	if held || it.Dead != pid || pid != p.Pid || it.Level != Act || it.Holder != nil {
		t.Errorf("Owner: %d %v; %+v", pid, held, it)
	}
}

// A stopped holder: the one action that helps.
func TestAStoppedHolder(t *testing.T) {
	s := newStage(t)
	p, waiter := s.actor(), s.actor()
	do(p, "lock 0")
	do(waiter, "want 0")
	sleeps(t, s, "Mu[0]", waiter.Pid)
	p.Stop()
	stoppedAt := time.Now()
	scene := s.look(Options{})
	if Code(scene) != 1 {
		t.Errorf("code %d", Code(scene))
	}
	it := find(scene, "Mu[0]")
	says(t, it.Verdict, fmt.Sprintf("holder %d `", p.Pid), "is STOPPED", fmt.Sprintf("asleep on it: %d `", waiter.Pid))
	if it.Next != fmt.Sprintf("kill -CONT %d", p.Pid) {
		t.Errorf("next: %q", it.Next)
	}
	if since := it.Holder.Since; since == nil {
		t.Log("the kernel does not tell when it ran last")
	} else if d := since.Sub(stoppedAt).Abs(); d > 10*time.Second {
		t.Errorf("stopped at %v, told as %v", stoppedAt, since)
	}
	p.Cont()
	if it := s.item("Mu[0]", "held", func(it *Item) bool { return it.Level == Fine }); it.Holder.PID != p.Pid {
		t.Errorf("%+v", it)
	}
}

// sleeps waits until a thread of pid is seen asleep on a primitive.
func sleeps(t *testing.T, s *stage, path string, pids ...int) *Item {
	t.Helper()
	if _, err := os.ReadFile("/proc/self/syscall"); err != nil {
		t.Skipf("cannot see who sleeps: %v", err)
	}
	var it *Item
	proctest.Until(t, fmt.Sprintf("%v asleep on %s", pids, path), func() bool {
		it = find(s.look(Options{All: true}), path)
		for _, pid := range pids {
			seen := false
			for _, w := range it.Waiters {
				seen = seen || w.PID == pid
			}
			if !seen {
				return false
			}
		}
		return true
	})
	return it
}

// A holder that lives and stays inside is a finding once somebody has slept for long.
func TestAMutexHeldForLong(t *testing.T) {
	s := newStage(t)
	p, waiter := s.actor(), s.actor()
	do(p, "lock 2")
	do(waiter, "want 2")
	it := sleeps(t, s, "Mu[2]", waiter.Pid)
	if it.Level != Fine {
		t.Errorf("at once: %+v", it)
	}
	if it.Waiters[0].Asleep == nil {
		t.Skip("the kernel does not tell since when a thread sleeps")
	}
	// The waiter's process looks every 40 ms, and the thread must sleep on meanwhile.
	proctest.Until(t, "it has slept for a second", func() bool {
		scene := s.look(Options{Long: time.Second})
		it = find(scene, "Mu[2]")
		return Code(scene) == 1
	})
	says(t, it.Verdict, "HELD LONG: held by "+strconv.Itoa(p.Pid), "the longest for")
	says(t, it.Next, "kill -QUIT "+strconv.Itoa(p.Pid))
}

// Of a queue of holders, each waiting for the next, only the one at its end is to blame.
func TestWhoIsToBlame(t *testing.T) {
	s := newStage(t)
	a, b, c := s.actor(), s.actor(), s.actor()
	do(a, "lock 0")
	do(b, "lock 1", "want 0")
	do(c, "want 1")
	sleeps(t, s, "Mu[0]", b.Pid)
	if it := sleeps(t, s, "Mu[1]", c.Pid); it.Waiters[0].Asleep == nil {
		t.Skip("the kernel does not tell since when a thread sleeps")
	}
	var scene *Scene
	proctest.Until(t, "both are held for long", func() bool {
		scene = s.look(Options{Long: time.Second})
		text := print(scene)
		return Code(scene) == 1 && strings.Count(text, "HELD LONG") == 2
	})
	if x, y := find(scene, "Mu[0]"), find(scene, "Mu[1]"); x.Level != Act || y.Level != Note {
		t.Errorf("the cause: %+v\nwhat follows: %+v", x, y)
	}
	says(t, find(scene, "Mu[1]").Verdict, "and waits itself for "+s.name+":Mu[0]")
}

// A zombie is dead, whoever still has to reap it.
func TestAZombie(t *testing.T) {
	s := newStage(t)
	p := s.actor(proctest.Zombie())
	do(p, "lock 0")
	p.Kill()
	if it := s.item("Mu[0]", "orphan", nil); it.Dead != p.Pid {
		t.Errorf("%+v", it)
	}
}

func TestACondemnedMutex(t *testing.T) {
	s := newStage(t)
	p, heir := s.actor(), s.actor()
	do(p, "lock 0")
	p.Kill()
	heir.Send("condemn 0")
	heir.Expect("true")
	it := s.item("Mu[0]", "condemned", nil)
	if it.Level != Act || s.Mu[0].LockContext(t.Context()) == nil {
		t.Errorf("%+v", it)
	}
	says(t, it.Next, strconv.Itoa(heir.Pid), "rm /dev/shm/"+s.name)
}

// A repair that does not come to its end is one that goes on.
func TestARepairUnderWay(t *testing.T) {
	s := newStage(t)
	p, heir := s.actor(), s.actor()
	do(p, "lock 0")
	p.Kill()
	heir.Send("repair 0")
	heir.Expect("repairing")
	it := s.item("Mu[0]", "repairing", nil)
	if it.Holder.PID != heir.Pid || it.Level != Fine {
		t.Errorf("%+v", it)
	}
}

// Two processes that took two mutexes in opposite order: the circle, with its pids.
func TestADeadlock(t *testing.T) {
	s := newStage(t)
	a, b := s.actor(), s.actor()
	do(a, "lock 0")
	do(b, "lock 1")
	if scene := s.look(Options{}); len(scene.Cycles) != 0 || Code(scene) != 0 {
		t.Errorf("before they wait: %s", print(scene))
	}
	do(a, "want 1")
	sleeps(t, s, "Mu[1]", a.Pid)
	if scene := s.look(Options{}); len(scene.Cycles) != 0 || Code(scene) != 0 {
		t.Errorf("one waits: %s", print(scene))
	}
	do(b, "want 0")
	sleeps(t, s, "Mu[0]", b.Pid)
	scene := s.look(Options{})
	if len(scene.Cycles) != 1 || Code(scene) != 1 {
		t.Fatalf("%d cycles:\n%s", len(scene.Cycles), print(scene))
	}
	says(t, print(scene), "DEADLOCK of 2 processes", "kill -9 one of",
		fmt.Sprintf("%d `%s` has %s:Mu[0] and waits for %s:Mu[1]", a.Pid, scene.Objects[0].Users[0].Name, s.name, s.name),
		fmt.Sprintf("%d `%s` has %s:Mu[1] and waits for %s:Mu[0]", b.Pid, scene.Objects[0].Users[0].Name, s.name, s.name))
	b.Kill() // the advice: then a, which has no repair, is refused, and the circle is open
	proctest.Until(t, "no cycle is left", func() bool { return len(s.look(Options{}).Cycles) == 0 })
}

func TestSleepersOnASemaphoreAndACond(t *testing.T) {
	s := newStage(t)
	a, b := s.actor(), s.actor()
	do(a, "acquire", "wait")
	do(b, "acquire")
	it := sleeps(t, s, "Sem", a.Pid, b.Pid)
	if it.State != "empty" || it.Level != Note || !strings.Contains(it.Text, "2 counted as waiting") {
		t.Errorf("%+v", it)
	}
	it = sleeps(t, s, "Cond", a.Pid)
	if it.State != "waited for" {
		t.Errorf("%+v", it)
	}
	if scene := s.look(Options{}); Code(scene) != 0 {
		t.Errorf("to wait is nothing wrong:\n%s", print(scene))
	}
}

// A writer that is stopped in a write, and then killed in it.
func TestASeqlock(t *testing.T) {
	s := newStage(t)
	for _, c := range []struct{ path, dead string }{{"Wide", "torn"}, {"Twin", "abandoned"}} {
		p := s.actor()
		do(p, "write")
		var it *Item
		proctest.Until(t, "it is stopped in a write of "+c.path, func() bool {
			p.Stop()
			if it = find(s.look(Options{All: true}), c.path); it.State == "being written" {
				return true
			}
			p.Cont()
			return false
		})
		if it.Holder.PID != p.Pid || it.Level != Act || it.Next != fmt.Sprintf("kill -CONT %d", p.Pid) {
			t.Errorf("%s, stopped: %+v", c.path, it)
		}
		p.Kill()
		it = s.item(c.path, c.dead, nil)
		if it.Dead != p.Pid || (it.Level == Act) != (c.dead == "torn") {
			t.Errorf("%s, dead: %+v", c.path, it)
		}
		if err := s.Wide.Store(t.Context(), new(wide)); err != nil {
			t.Fatal(err)
		}
		if err := s.Twin.Store(t.Context(), new(wide)); err != nil {
			t.Fatal(err)
		}
		s.item(c.path, "whole", func(it *Item) bool { return it.Level == Fine })
	}
}

// What was not so a moment ago is no finding yet; what was keeps its age.
func TestAWatchBelievesWhatStays(t *testing.T) {
	scene := func(words ...string) *Scene {
		o := &Object{Name: "o"}
		for i, w := range words {
			o.Items = append(o.Items, &Item{Path: strconv.Itoa(i), Kind: Mutex, State: "orphan", Words: w, Advice: Advice{Level: Act}})
		}
		return &Scene{Objects: []*Object{o}}
	}
	w := NewWatch()
	first := scene("aa", "bb")
	w.See(first)
	if first.Level() != Act {
		t.Error("the first look has nothing to compare with")
	}
	second := scene("aa", "cc")
	w.See(second)
	items := second.Objects[0].Items
	if items[0].Level != Act || items[1].Level != Note || items[0].Same == nil || *items[0].Same == 0 || *items[1].Same != 0 {
		t.Errorf("%+v %+v", items[0], items[1])
	}
	third := scene("aa", "cc")
	w.See(third)
	if third.Objects[0].Items[1].Level != Act {
		t.Error("twice the same is a finding")
	}
}

// A frozen holder is not stopped, and no signal makes it go on.
func TestAFrozenHolder(t *testing.T) {
	dir, err := os.MkdirTemp("/sys/fs/cgroup/freezer", "interlock-inspect")
	state, cold, warm := "freezer.state", "FROZEN", "THAWED"
	if err != nil {
		if dir, err = os.MkdirTemp("/sys/fs/cgroup", "interlock-inspect"); err != nil {
			t.Skipf("no cgroup that can be frozen: %v", err)
		}
		state, cold, warm = "cgroup.freeze", "1", "0"
	}
	t.Cleanup(func() {
		proctest.Until(t, "the cgroup is empty", func() bool { return os.Remove(dir) == nil })
	})
	s := newStage(t)
	p := s.actor()
	t.Cleanup(func() { _ = os.WriteFile(dir+"/"+state, []byte(warm), 0o600) })
	do(p, "lock 0")
	if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(p.Pid)), 0o600); err != nil {
		t.Skipf("cannot use %s: %v", dir, err)
	}
	if err := os.WriteFile(dir+"/"+state, []byte(cold), 0o600); err != nil {
		t.Skipf("cannot freeze %s: %v", dir, err)
	}
	it := s.item("Mu[0]", "held", func(it *Item) bool { return it.Level == Act })
	says(t, it.Verdict, "is FROZEN", dir)
	says(t, it.Next, "> "+dir+"/"+state)
	if err := os.WriteFile(dir+"/"+state, []byte(warm), 0o600); err != nil {
		t.Fatal(err)
	}
	s.item("Mu[0]", "held", func(it *Item) bool { return it.Level == Fine })
	p.Kill()
}
