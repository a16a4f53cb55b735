// What holds for named semaphores:
//   - it is the object that sem_open makes and opens, both ways, and Python's;
//   - it has exactly the mode asked for;
//   - a bad name, or what is no semaphore, is an error that names itself, and
//     nothing outside /dev/shm is ever touched (T63, T64);
//   - Close is refused while somebody waits, and may be repeated (T78).
package semaphore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/region"
)

func init() {
	// opener NAME N: creates or opens, says how much it is worth, takes one.
	proctest.Register("opener", func(c *proctest.Child) {
		c.Say("here")
		c.Recv()
		n, err := Open(c.Args[0], Create(uint32(c.Int(1))))
		c.Check(err)
		c.Check(n.Acquire(context.Background()))
		c.Say("got")
		c.Check(n.Close())
	})
}

// named returns an unused name, and removes it at the end of the test.
func named(t *testing.T) (name, path string) {
	t.Helper()
	proctest.Watchdog(t, hang, nil)
	name = proctest.ShmName(t)
	t.Cleanup(func() { _ = Unlink(name) })
	return name, "/dev/shm/sem." + name[1:]
}

func mustOpen(t *testing.T, name string, opts ...Option) *Named {
	t.Helper()
	n, err := Open(name, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func expectIs(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

// temporaries are the files of makers at work, or dead.
func temporaries() []string {
	paths, _ := filepath.Glob("/dev/shm/" + tempName + "*")
	return paths
}

func TestANamedSemaphoreIsFoundByItsName(t *testing.T) {
	name, path := named(t)
	_, err := Open(name)
	expectIs(t, "Open of nothing", err, fs.ErrNotExist)
	a := mustOpen(t, name, Create(3))
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != 32 || info.Mode() != 0o600 {
		t.Errorf("%s has %d bytes and mode %v", path, info.Size(), info.Mode())
	}
	b := mustOpen(t, name[1:], Create(9)) // without its slash, and as it is
	expectValue(t, b.Semaphore, 3)
	if b.private.Load() != 128 {
		t.Errorf("private is %d", b.private.Load())
	}
	_, err = Open(name, Create(1), Exclusive)
	expectIs(t, "Open with Exclusive", err, fs.ErrExist)
	take(t, b.Semaphore)
	expectValue(t, a.Semaphore, 2)
	if err := Unlink(name); err != nil {
		t.Fatal(err)
	}
	expectIs(t, "Unlink of nothing", Unlink(name), fs.ErrNotExist)
	give(t, b.Semaphore) // who has it keeps it
	expectValue(t, a.Semaphore, 3)
	c := mustOpen(t, name, Create(7), Exclusive)
	expectValue(t, c.Semaphore, 7)
	expectValue(t, a.Semaphore, 3)
	if left := temporaries(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestBadNamesAreRefused(t *testing.T) { // T63
	proctest.Watchdog(t, hang, nil)
	for _, name := range []string{
		"", "/", "//", "//x", ".", "..", "/.", "/..", "a/b", "/a/", "../x", "a\x00b", "\x00",
		strings.Repeat("x", nameMax+1), "/" + strings.Repeat("x", nameMax+1),
	} {
		_, err := Open(name, Create(1))
		expectIs(t, "Open "+strconv.Quote(name), err, fs.ErrInvalid)
		expectIs(t, "Unlink "+strconv.Quote(name), Unlink(name), fs.ErrInvalid)
	}
	for _, name := range []string{"...", "sémaphore ☂", "a b\nc", "-rf", strings.Repeat("é", nameMax/2)} {
		if path, err := pathOf(name); err != nil || filepath.Dir(path) != dir || len(filepath.Base(path)) > 255 {
			t.Errorf("%q: %q, %v", name, path, err)
		}
	}
}

func TestTheLongestNameWorks(t *testing.T) { // T63
	base, _ := named(t)
	name := base + strings.Repeat("x", nameMax-len(base)+1)
	n := mustOpen(t, name, Create(1))
	take(t, n.Semaphore)
	if err := Unlink(name); err != nil {
		t.Error(err)
	}
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	name, path := named(t)
	for what, opts := range map[string][]Option{
		"Exclusive alone":  {Exclusive},
		"Mode alone":       {Mode(0o600)},
		"too many permits": {Create(MaxValue + 1)},
		"more than a mode": {Create(1), Mode(os.ModeSetuid | 0o600)},
	} {
		_, err := Open(name, opts...)
		expectIs(t, what, err, fs.ErrInvalid)
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("a refused call made it all the same")
	}
	n := mustOpen(t, name, Option{}, Create(MaxValue))
	expectValue(t, n.Semaphore, MaxValue)
}

func TestTheModeIsExactUnderAnyUmask(t *testing.T) { // T64
	name, path := named(t)
	for _, umask := range []int{0, 0o777, 0o022} {
		for _, mode := range []fs.FileMode{0o600, 0o666, 0o640, 0o777} {
			old := unix.Umask(umask)
			n, err := Open(name, Create(1), Exclusive, Mode(mode))
			unix.Umask(old)
			if err != nil {
				t.Fatal(err)
			}
			if info, err := os.Lstat(path); err != nil || info.Mode() != mode {
				t.Errorf("umask %o, Mode(%o): %v, %v", umask, mode, info.Mode(), err)
			}
			if err := errors.Join(n.Close(), Unlink(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestWhatIsNoSemaphoreIsRefusedAndUntouched(t *testing.T) { // T64
	name, path := named(t)
	target := filepath.Join(t.TempDir(), "target")
	plant := map[string]func() error{
		"empty":     func() error { return os.WriteFile(path, nil, 0o600) },
		"31 bytes":  func() error { return os.WriteFile(path, make([]byte, 31), 0o600) },
		"symlink":   func() error { return os.Symlink(target, path) },
		"directory": func() error { return os.Mkdir(path, 0o700) },
		"FIFO":      func() error { return unix.Mkfifo(path, 0o600) },
	}
	if err := os.WriteFile(target, make([]byte, 64), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, f := range plant {
		if err := f(); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Lstat(path)
		_, err := Open(name)
		expectIs(t, "Open of "+what, err, ErrNotSemaphore)
		_, err = Open(name, Create(5))
		expectIs(t, "Open with Create of "+what, err, ErrNotSemaphore)
		_, err = Open(name, Create(5), Exclusive)
		expectIs(t, "Open with Exclusive of "+what, err, fs.ErrExist)
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) || after.Size() != before.Size() {
			t.Errorf("%s: it was changed", what)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if b, _ := os.ReadFile(target); strings.Trim(string(b), "\x00") != "" || len(b) != 64 {
		t.Error("the symlink's target was written to")
	}
}

func TestALongerFileIsASemaphoreToo(t *testing.T) {
	name, path := named(t)
	if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	n := mustOpen(t, name) // zero bytes: no permits
	give(t, n.Semaphore)
	take(t, n.Semaphore)
}

func TestWhoMayNotOpenItIsTold(t *testing.T) { // T66
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	name, _ := named(t)
	mustOpen(t, name, Create(1))
	err := asNobody(func() error {
		n, err := Open(name)
		if err == nil {
			n.Close()
		}
		return err
	})
	if errors.Is(err, unix.EINVAL) {
		t.Skip("there is no other user in this user namespace")
	}
	expectIs(t, "Open by another user", err, fs.ErrPermission)
	expectIs(t, "Unlink by another user", asNobody(func() error { return Unlink(name) }), fs.ErrPermission)
}

func TestCloseIsRefusedWhileSomebodyWaits(t *testing.T) { // T78
	name, _ := named(t)
	n := mustOpen(t, name, Create(0))
	got, _ := queue(t, context.Background(), n.Semaphore, 2)
	expectIs(t, "Close", n.Close(), region.ErrBusy)
	for range 2 {
		give(t, n.Semaphore) // still there
		<-got
	}
	proctest.Until(t, "Close to succeed", func() bool { return n.Close() == nil })
	if err := n.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
	if msg := panicOf(func() { n.TryAcquire() }); msg == "" {
		t.Error("TryAcquire after Close goes on")
	}
}

func TestOpeningAndClosingLeavesNothingBehind(t *testing.T) { // T73; Main looks at the descriptors
	name, _ := named(t)
	maps := func() int {
		b, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(b), "sem."+name[1:])
	}
	mustOpen(t, name, Create(1)) // in maps by its temporary name
	mustOpen(t, name)
	before := maps()
	for range 500 {
		n, err := Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := maps(); after != before || before != 1 {
		t.Errorf("%d mappings, %d before", after, before)
	}
}

func TestNamedSemaphoresAreGlibcs(t *testing.T) {
	name, path := named(t)
	c := cPeer(t)
	c.expect("open "+name, "ENOENT")
	c.expect("create "+name+" 2", "0")
	if info, err := os.Lstat(path); err != nil || info.Size() != 32 {
		t.Fatalf("%v, %v", info, err)
	}
	n := mustOpen(t, name)
	expectValue(t, n.Semaphore, 2)
	take(t, n.Semaphore)
	c.expect("value", "1")
	c.expect("wait", "0")
	c.Send("wait")
	proctest.AwaitSleepers(t, c.Pid, 1)
	give(t, n.Semaphore)
	if got := c.Line(); got != "0" {
		t.Fatalf("sem_wait: %s", got)
	}
	if err := Unlink(name); err != nil {
		t.Fatal(err)
	}
	c.expect("unlink "+name, "ENOENT")

	n = mustOpen(t, name, Create(5), Exclusive)
	c.expect("create "+name+" 1", "EEXIST")
	c.expect("open "+name, "0")
	c.expect("value", "5")
	c.expect("wait", "0")
	expectValue(t, n.Semaphore, 4)
	for range 4 {
		take(t, n.Semaphore)
	}
	got, _ := queue(t, context.Background(), n.Semaphore, 1)
	start := time.Now()
	c.expect("post", "0")
	<-got
	proctest.Within(t, "from sem_post", start)
	c.expect("unlink "+name, "0")
	expectIs(t, "Unlink", Unlink(name), fs.ErrNotExist)
}

// python makes a semaphore as its multiprocessing does, and obeys.
const python = `
import sys, _multiprocessing as m
name = sys.argv[1]
s = m.SemLock(1, 2, 5, name, False)
print("made", flush=True)
for line in sys.stdin:
    if line.strip() == "acquire":
        print(s.acquire(True, 30), flush=True)
    else:
        s.release()
        print("released", flush=True)
`

func TestPythonsSemaphoresAreOurs(t *testing.T) {
	name, _ := named(t)
	py, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(py, "-c", "import _multiprocessing").Run()
	}
	if err != nil {
		t.Skipf("needs python3 with _multiprocessing: %v", err)
	}
	p := proctest.StartProgram(t, py, proctest.Args("-c", python, name))
	p.Expect("made")
	n := mustOpen(t, name)
	expectValue(t, n.Semaphore, 2)
	take(t, n.Semaphore)
	take(t, n.Semaphore)
	p.Send("acquire")
	proctest.AwaitSleepers(t, p.Pid, 1)
	give(t, n.Semaphore)
	p.Expect("True")
	got, _ := queue(t, context.Background(), n.Semaphore, 1)
	p.Send("release")
	p.Expect("released")
	<-got
	expectValue(t, n.Semaphore, 0)
}
