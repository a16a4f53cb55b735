package proctest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// envScene makes the test binary, run again by runScene, misbehave.
const envScene = "PROCTEST_SCENE"

// scenes are the ways in which a test can leave something behind; each must fail
// the run that contains it, and say what it was.
var scenes = map[string]struct {
	misbehave func(t *testing.T)
	says      string
}{
	"descriptor": {func(t *testing.T) { leakFD(t) }, "a descriptor is left open"},
	"process":    {func(t *testing.T) { command(t, "sleep", "100") }, "a process is left: pid"},
	"zombie":     {func(t *testing.T) { waitFor(command(t, "true"), unix.WEXITED) }, "state Z"},
	"orphan":     {func(t *testing.T) { orphan(t) }, "a process is left: pid"},
	"name":       {func(t *testing.T) { touch(t, ShmName(t)) }, "the test leaves /dev/shm/interlock-test-"},
	"semaphore":  {func(t *testing.T) { touch(t, "/sem."+ShmName(t)[1:]) }, "the test leaves /dev/shm/sem.interlock-test-"},
	"foreign":    {func(t *testing.T) { touch(t, "/.x-interlock-test-"+run) }, "a name is left: /dev/shm/.x-interlock-test-"},
	"sysv":       {func(t *testing.T) { leakSysV(t) }, "ipcrm -m"},
	"unasked":    {func(t *testing.T) { awaitDead(Start(t, "exits", Args("5"))) }, "died unasked: exit status 5"},
	"crashed":    {func(t *testing.T) { p := Start(t, "exits", Args("4")); awaitDead(p); p.Kill() }, "it had ended by itself: exit status 4"},
	"output":     {func(t *testing.T) { Start(t, "complains").WaitExit(2) }, "its own last words"},
	"expect":     {func(t *testing.T) { Start(t, "waits").Expect("there") }, `it said "here", not "there"`},
	"hang":       {func(t *testing.T) { hang(t) }, "TestScene is not over after"},
	"hung child": {func(t *testing.T) { hang(t) }, "proctest.(*Child).Recv("},
	"hung words": {func(t *testing.T) { hang(t) }, "the word is 7"},
	"suicide":    {func(t *testing.T) { suicide(t) }, "child pid is "},
}

func init() {
	Register("complains", func(c *Child) { c.Fatalf("its own last words") })
	if os.Getenv(envScene) == "unused" {
		Register("never", func(c *Child) {})
	}
}

// orphan leaves a grandchild. In the middle of its execve that has no environment by which
// it could be told; so it is looked at once more when it has its new name.
func orphan(t *testing.T) {
	run1(t, "sh", "-c", "sleep 100 & true")
	Until(t, "it has begun", func() bool {
		return slices.ContainsFunc(strays(), func(pid int) bool {
			return read(fmt.Sprintf("/proc/%d", pid), "comm") == "sleep" && slices.Contains(strays(), pid)
		})
	})
}

// TestScene is the misbehaving test. It does nothing in a normal run.
func TestScene(t *testing.T) {
	scene, ok := scenes[os.Getenv(envScene)]
	if !ok {
		Excuse("complains")
		t.Skip("plays a part in the tests of leaks")
	}
	grace = 200 * time.Millisecond // what it leaves is left for good
	scene.misbehave(t)
}

// runScene runs this test binary again and returns its output and exit code.
func runScene(t *testing.T, scene string, args ...string) (string, int) {
	t.Helper()
	if os.Getenv(envScene) != "" {
		t.Skip("inside a scene already")
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), envScene+"="+scene)
	out := filepath.Join(t.TempDir(), "out") // a file: a leaked process would hold a pipe open
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	cmd.Run() // the code is looked at
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	killLeft(string(b))
	return string(b), cmd.ProcessState.ExitCode()
}

// killLeft ends what a scene has left on purpose and was told about.
func killLeft(out string) {
	for _, line := range strings.Split(out, "\n") {
		if _, rest, ok := strings.Cut(line, "a process is left: pid "); ok {
			if pid, err := strconv.Atoi(rest[:strings.Index(rest, ",")]); err == nil {
				unix.Kill(pid, unix.SIGKILL)
			}
		}
		if _, id, ok := strings.Cut(line, "ipcrm -m "); ok {
			if n, err := strconv.Atoi(id); err == nil {
				unix.SysvShmCtl(n, unix.IPC_RMID, nil)
			}
		}
	}
}

func TestWhatIsLeftFailsTheRun(t *testing.T) {
	for name, scene := range scenes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, code := runScene(t, name, "-test.run=^TestScene$")
			if code == 0 || !strings.Contains(out, scene.says) {
				t.Fatalf("exit code %d, and no %q in:\n%s", code, scene.says, out)
			}
		})
	}
}

func TestARunThatLeavesNothingPasses(t *testing.T) {
	out, code := runScene(t, "none", "-test.run=^TestTheyConverse$")
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, out)
	}
}

func TestAnUnusedChildFailsAFullRun(t *testing.T) {
	const says = `the child function "never" is registered and never started`
	if out, code := runScene(t, "unused"); code == 0 || !strings.Contains(out, says) {
		t.Fatalf("a full run: exit code %d, and no %q in:\n%s", code, says, out)
	}
	if out, code := runScene(t, "unused", "-test.run=^TestTheyConverse$"); code != 0 {
		t.Fatalf("a run of one test: exit code %d:\n%s", code, out)
	}
}

func TestAChildDiesWithTheTest(t *testing.T) {
	out, _ := runScene(t, "suicide", "-test.run=^TestScene$")
	_, rest, _ := strings.Cut(out, "child pid is ")
	pid, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	Until(t, "the child's death after the test process's", func() bool {
		return procState(pid) == "" || procState(pid) == "Z"
	})
}

func leakFD(t *testing.T) {
	if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
		t.Fatal(err)
	}
}

func command(t *testing.T, name string, args ...string) (pid int) {
	cmd := exec.Command(name, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

func run1(t *testing.T, name string, args ...string) {
	if err := exec.Command(name, args...).Run(); err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, name string) {
	if err := os.WriteFile("/dev/shm"+name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func leakSysV(t *testing.T) {
	if _, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600); err != nil {
		t.Fatal(err)
	}
}

func awaitDead(p *Proc) { <-p.dead } // not AwaitDeath: that would be asking

// sayPid starts a child that waits, and tells the outer test which.
func sayPid(t *testing.T) {
	p := Start(t, "waits")
	p.Expect("here")
	os.Stderr.WriteString("child pid is " + strconv.Itoa(p.Pid) + "\n")
}

func hang(t *testing.T) {
	sayPid(t)
	Watchdog(t, 100*time.Millisecond, func() string { return "the word is 7" })
	select {}
}

func suicide(t *testing.T) {
	sayPid(t)
	unix.Kill(os.Getpid(), unix.SIGKILL)
	select {}
}
