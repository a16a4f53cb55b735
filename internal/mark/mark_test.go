// What holds for marks:
//   - without the build tag a mark costs nothing and does nothing;
//   - with it, the process ends or stops at the n-th passage, not before;
//   - a spec that makes no sense is refused: its test would wait for nothing.
package mark_test

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/mark"
	"interlock/internal/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

func init() {
	proctest.Register("passes", func(c *proctest.Child) {
		if len(c.Args) > 0 {
			mark.At("test.a") // not counted: Arm comes later
			mark.Arm(c.Args[0])
		}
		for range 3 {
			mark.At("test.other")
			mark.At("test.a")
			c.Say("passed")
		}
	})
}

func needMarks(t *testing.T) {
	t.Helper()
	if !mark.Enabled {
		proctest.Excuse("passes")
		t.Skip("needs -tags marks")
	}
}

func TestWithoutTheTagNothingIsThere(t *testing.T) {
	if mark.Enabled {
		t.Skip("built with -tags marks")
	}
	if n := testing.AllocsPerRun(100, func() { mark.At("test.a") }); n != 0 {
		t.Errorf("At allocates %v times", n)
	}
	if mark.Hits() != nil {
		t.Error("Hits counts")
	}
	defer func() {
		if recover() == nil {
			t.Error("Arm succeeds where no mark will ever act")
		}
	}()
	mark.Arm("test.a")
}

func TestWatchingNothingIsRefused(t *testing.T) {
	if mark.Enabled {
		t.Skip("built with -tags marks")
	}
	defer func() {
		if recover() == nil {
			t.Error("Watch succeeds where no mark is ever passed")
		}
	}()
	mark.Watch(func(string) {})
}

func TestKillAtThePassageAskedFor(t *testing.T) {
	needMarks(t)
	for _, start := range []proctest.Option{
		proctest.Mark("test.a:2"),
		proctest.Args("test.a:kill:2"),
	} {
		p := proctest.Start(t, "passes", start)
		p.Expect("passed")
		p.WaitKilled(unix.SIGKILL)
	}
}

func TestStopAndGoOn(t *testing.T) {
	needMarks(t)
	p := proctest.Start(t, "passes", proctest.Mark("test.a:3:stop"))
	p.Expect("passed")
	p.Expect("passed")
	p.AwaitStop()
	p.Cont()
	p.Expect("passed")
	p.WaitExit(0)
}

func TestTheOtherEnds(t *testing.T) {
	needMarks(t)
	proctest.Start(t, "passes", proctest.Mark("test.a:exit")).WaitExit(0)
	proctest.Start(t, "passes", proctest.Mark("test.a:panic")).WaitExit(2)
	p := proctest.Start(t, "passes", proctest.Mark("test.a:exec"))
	proctest.Until(t, "execve of sleep", func() bool { return proctest.Command(p.Pid) == "sleep" })
	p.Kill()
}

func TestHitsCountPassages(t *testing.T) {
	needMarks(t)
	before := mark.Hits()["test.hits"]
	mark.At("test.hits")
	mark.At("test.hits")
	if n := mark.Hits()["test.hits"] - before; n != 2 {
		t.Fatalf("%d hits of two passages", n)
	}
}

func TestAWatcherSeesEveryPassage(t *testing.T) {
	needMarks(t)
	var seen []string
	mark.Watch(func(name string) { seen = append(seen, name) })
	mark.At("test.a")
	mark.At("test.other")
	mark.At("test.a")
	mark.Watch(func(string) {})
	mark.At("test.a")
	if want := []string{"test.a", "test.other", "test.a"}; !slices.Equal(seen, want) {
		t.Errorf("seen %q, want %q", seen, want)
	}
}

func TestASpecThatMakesNoSenseIsRefused(t *testing.T) {
	needMarks(t)
	for _, spec := range []string{"", ":2", "x:0", "x:-1", "x:kil", "x:2:3x"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Arm(%q) is accepted", spec)
				}
			}()
			mark.Arm(spec)
		}()
	}
}
