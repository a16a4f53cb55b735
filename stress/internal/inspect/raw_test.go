package inspect

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/robust"
	"interlock/mutex"
	"interlock/shm"
	"interlock/stress/internal/procfs"
)

// tableSize is that of a table of locks; more than a dead process's list is walked for.
const tableSize = 10000

func init() {
	proctest.Register("table actor", func(c *proctest.Child) { // locks from, from+step, … of the first n
		mem := c.Memory(0)
		list, err := shm.Slice[mutex.Mutex](mem, 0, len(mem)/sizeMutex)
		c.Check(err)
		for i := c.Int(0); i < c.Int(2); i += c.Int(1) {
			list[i].Lock()
		}
		c.Sayf("locked as %d", os.Getpid())
		c.Recv()
	})
}

// newTable makes raw memory that is a table of mutexes.
func newTable(t *testing.T, n int) (*os.File, []mutex.Mutex) {
	t.Helper()
	f, mem := proctest.Memfd(t, n*sizeMutex)
	list, err := shm.Slice[mutex.Mutex](mem, 0, n)
	if err != nil {
		t.Fatal(err)
	}
	proctest.Watchdog(t, 3*time.Minute, nil)
	return f, list
}

// lookAt is one call of Inspect of a file of ours, by -type.
func lookAt(t *testing.T, f *os.File, types string, opts Options) *Scene {
	t.Helper()
	src, err := Open(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	var places []Place
	if types != "" {
		if places, err = ParseTypes(types); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := Study(src, places, false)
	if err != nil {
		t.Fatal(err)
	}
	scene, err := Inspect(context.Background(), []*Subject{sub}, opts)
	if err != nil {
		t.Fatal(err)
	}
	return scene
}

func lockTable(t *testing.T, f *os.File, from, step, below int, opts ...proctest.Option) *proctest.Proc {
	t.Helper()
	return proctest.Start(t, "table actor", append(opts, proctest.Files(f), proctest.Args(strconv.Itoa(from), strconv.Itoa(step), strconv.Itoa(below)))...)
}

// A table of ten thousand: counted, and the few that matter shown. Of a dead process
// that held more than the kernel's walk reaches, the rest is told as unmarked.
func TestATableOfTenThousand(t *testing.T) {
	f, list := newTable(t, tableSize)
	types := fmt.Sprintf("mutex[%d]@0", tableSize)
	p := lockTable(t, f, 0, 2, tableSize)
	p.Line()
	scene := lookAt(t, f, types, Options{})
	g := scene.Objects[0].Groups[0]
	if g.Count != tableSize || g.States["held"] != tableSize/2 || g.States["free"] != tableSize/2 || Code(scene) != 0 {
		t.Errorf("%+v", g)
	}
	if text := print(scene); strings.Count(text, "\n") > 30 {
		t.Errorf("a summary of %d lines:\n%.2000s", strings.Count(text, "\n"), text)
	}
	if n := len(lookAt(t, f, types, Options{All: true}).Objects[0].Items); n != tableSize {
		t.Errorf("-all: %d items", n)
	}
	p.Kill()
	scene = lookAt(t, f, types, Options{})
	g = scene.Objects[0].Groups[0]
	marked := 0
	for i := range list {
		if _, held := list[i].Owner(); !held && i%2 == 0 {
			marked++
		}
	}
	if g.States["orphan"] != marked || marked > robust.ListLimit || g.States["unmarked"] != tableSize/2-marked || Code(scene) != 1 {
		t.Errorf("%+v, %d marked", g, marked)
	}
	for _, it := range scene.Objects[0].Items {
		if it.Dead != p.Pid || it.Level != Act {
			t.Fatalf("%+v", it)
		}
	}
	says(t, print(scene), "5000 free", "(9994 more; -all shows them)", "no process maps it", "the kernel has not marked")
}

// From above, a process of another PID namespace is found by the numbers it has there.
func TestAHolderInAnotherPIDNamespace(t *testing.T) {
	other := proctest.Attr(func(a *syscall.SysProcAttr) { a.Cloneflags |= unix.CLONE_NEWPID })
	try := exec.Command("true")
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	if err := try.Run(); err != nil {
		t.Skipf("may not make namespaces: %v", err)
	}
	f, list := newTable(t, 100)
	p := lockTable(t, f, 0, 1, 1, other)
	p.Expect("locked as 1")
	it := lookAt(t, f, "mutex@0", Options{}).Objects[0].Items[0]
	if it.State != "held" || it.Holder == nil || it.Holder.PID != p.Pid || it.Level != Fine {
		t.Errorf("%+v", it)
	}
	says(t, it.Verdict, "which is 1 in its PID namespace")
	if err := list[0].LockContext(t.Context()); !errors.Is(err, mutex.ErrPIDNamespace) {
		t.Errorf("LockContext: %v", err)
	}
	q := lockTable(t, f, 1, 1, 2) // of our own
	q.Line()
	scene := lookAt(t, f, "mutex[2]@0", Options{})
	if Code(scene) != 1 {
		t.Errorf("users in two namespaces:\n%s", print(scene))
	}
	says(t, print(scene), "its users count in several PID namespaces", "ErrPIDNamespace")
	p.Kill()
	if it := lookAt(t, f, "mutex@0", Options{}).Objects[0].Items[0]; it.State != "orphan" || it.Dead != 1 {
		t.Errorf("%+v", it)
	}
}

// Of a namespace in which nobody is left nothing can be known, and that is said.
func TestAHolderInAPIDNamespaceThatIsGone(t *testing.T) {
	try := exec.Command("true")
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID}
	if err := try.Run(); err != nil {
		t.Skipf("may not make namespaces: %v", err)
	}
	const n = robust.ListLimit + 100 // so that the kernel does not mark them all
	f, _ := newTable(t, n)
	p := lockTable(t, f, 0, 1, n, proctest.Attr(func(a *syscall.SysProcAttr) { a.Cloneflags |= unix.CLONE_NEWPID }))
	p.Line()
	p.Kill()
	scene := lookAt(t, f, fmt.Sprintf("mutex[%d]@0", n), Options{})
	if g := scene.Objects[0].Groups[0]; g.States["foreign"] < 100 || g.States["foreign"]+g.States["orphan"] != n || Code(scene) != 1 {
		t.Errorf("%+v", g)
	}
	says(t, print(scene), "they have ended, or are not beneath us")
}

// Who left its name at an orphan and lives did not die holding it: whoever did was
// killed before it could leave its own.
func TestALivingNameAtAnOrphan(t *testing.T) {
	f, list := newTable(t, 100)
	list[0].Lock()
	list[0].Unlock()
	write := func(word uint32) {
		if _, err := f.WriteAt(binary.NativeEndian.AppendUint32(nil, word), 0); err != nil {
			t.Fatal(err)
		}
	}
	write(robust.OwnerDied)
	it := lookAt(t, f, "mutex@0", Options{}).Objects[0].Items[0]
	if pid, _ := list[0].Owner(); it.State != "orphan" || it.Dead != pid || pid != 0 {
		t.Errorf("%+v, Owner says %d", it, pid)
	}
	write(0)
}

// Raw memory does not say what it holds, but the last owners have left their names.
func TestGuess(t *testing.T) {
	f, _ := newTable(t, tableSize)
	p := lockTable(t, f, 7, 1000, tableSize)
	p.Line()
	scene := lookAt(t, f, "", Options{})
	var at []int64
	for _, it := range scene.Objects[0].Items {
		if at = append(at, it.Offset/sizeMutex); !it.Guessed || it.Holder == nil || it.Holder.PID != p.Pid {
			t.Errorf("%+v", it)
		}
	}
	if !slices.Equal(at, []int64{7, 1007, 2007, 3007, 4007, 5007, 6007, 7007, 8007, 9007}) {
		t.Errorf("found %v", at)
	}
}

// All that a process maps, and -type by its own addresses.
func TestOfProcess(t *testing.T) {
	f, _ := newTable(t, tableSize)
	p := lockTable(t, f, 3, tableSize, tableSize)
	p.Line()
	list, err := OfProcess(p.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(list)
	if len(list) != 1 || list[0].Size != tableSize*sizeMutex {
		t.Fatalf("%+v", list)
	}
	says(t, list[0].Kind, "memfd", t.Name())
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var lo int64
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "memfd:"+t.Name()) {
			_, _ = fmt.Sscanf(line, "%x-", &lo)
		}
	}
	types, err := ParseTypes(fmt.Sprintf("mutex@%#x", lo+3*sizeMutex))
	if err != nil {
		t.Fatal(err)
	}
	at, err := AtAddresses(p.Pid, types, list)
	if err != nil || len(at[list[0]]) != 1 || at[list[0]][0].Off != 3*sizeMutex {
		t.Errorf("%+v, %v", at, err)
	}
	if _, err := AtAddresses(p.Pid, []Place{{Off: 8}}, list); err == nil {
		t.Error("nothing is mapped at 8")
	}
}

// Who maps it privately, or maps what only has the same number, does not share it.
func TestWhoSharesIt(t *testing.T) {
	file, segment := &Source{Where: "00:01 7"}, &Source{Where: "00:01 7", ipc: true}
	for _, c := range []struct {
		m    procfs.Mapping
		s    *Source
		want int
	}{
		{procfs.Mapping{Where: "00:01 7", Shared: true, Path: "/memfd:x"}, file, 1},
		{procfs.Mapping{Where: "00:01 7", Path: "/memfd:x"}, file, 0},
		{procfs.Mapping{Where: "00:01 8", Shared: true, Path: "/memfd:x"}, file, 0},
		{procfs.Mapping{Where: "00:01 7", Shared: true, Path: "/SYSV00000000 (deleted)"}, file, 0},
		{procfs.Mapping{Where: "00:01 7", Shared: true, Path: "/SYSV00000000 (deleted)"}, segment, 1},
		{procfs.Mapping{Where: "00:01 7", Shared: true, Path: "/memfd:x"}, segment, 0},
		{procfs.Mapping{Where: "", Shared: true}, &Source{}, 0},
	} {
		n := &census{users: map[*Source][]user{}}
		ours, err := procfs.Namespace(os.Getpid(), "ipc")
		if err != nil {
			t.Fatal(err)
		}
		n.add(c.s, os.Getpid(), []procfs.Mapping{c.m}, ours)
		if len(n.users[c.s]) != c.want {
			t.Errorf("%+v: %d users, want %d", c.m, len(n.users[c.s]), c.want)
		}
		n.users = map[*Source][]user{}
		if n.add(c.s, os.Getpid(), []procfs.Mapping{c.m}, ours+1); c.s.ipc && len(n.users) != 0 {
			t.Errorf("%+v: of another IPC namespace", c.m)
		}
	}
}

// Where a file cannot be opened, its bytes are read from the process that maps it.
func TestAWindowIntoAProcess(t *testing.T) {
	f, _ := newTable(t, tableSize)
	p := lockTable(t, f, 3, tableSize, tableSize)
	p.Line()
	list, err := OfProcess(p.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer CloseAll(list)
	c, err := count(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range c.users[list[0]] {
		if u.pid != p.Pid {
			continue
		}
		s, err := openMemory(p.Pid, "it", list[0].Where, u.maps)
		if err != nil {
			t.Skipf("%v", err)
		}
		defer s.Close()
		mine, theirs := make([]byte, tableSize*sizeMutex), make([]byte, tableSize*sizeMutex)
		_, err1 := list[0].ReadAt(mine, 0)
		_, err2 := s.ReadAt(theirs, 0)
		if err1 != nil || err2 != nil || !bytes.Equal(mine, theirs) || bytes.Equal(mine, make([]byte, len(mine))) {
			t.Errorf("the file: %v; the window: %v", err1, err2)
		}
		if n, err := s.ReadAt(theirs, s.Size-8); n != 8 || err == nil {
			t.Errorf("over the end: %d bytes, %v", n, err)
		}
		return
	}
	t.Errorf("%d is not among the users: %+v", p.Pid, c.users)
}

// A C program's thread holds it: its record is a thread ID, and the process is told.
func TestACHolder(t *testing.T) {
	cc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skipf("no C program: %v", err)
	}
	bin := filepath.Join(t.TempDir(), "peer")
	if out, err := exec.Command(cc, "-O2", "-pthread", "-o", bin, "../../../mutex/testdata/peer.c").CombinedOutput(); err != nil {
		t.Skipf("no C program: %v\n%s", err, out)
	}
	f, list := newTable(t, 200)
	if err := list[0].Init(); err != nil {
		t.Fatal(err)
	}
	p := proctest.StartProgram(t, bin, proctest.Files(f))
	p.Send("lock")
	p.Expect("held")
	it := lookAt(t, f, "mutex@0", Options{}).Objects[0].Items[0]
	if it.State != "held" || it.Holder == nil || it.Holder.PID != p.Pid {
		t.Errorf("%+v", it)
	}
	says(t, it.Verdict, "a C program's thread")
	other := proctest.StartProgram(t, bin, proctest.Files(f))
	other.Send("lock")
	proctest.Until(t, "the other C program is seen asleep", func() bool {
		it = lookAt(t, f, "mutex@0", Options{}).Objects[0].Items[0]
		return len(it.Waiters) == 1 && it.Waiters[0].PID == other.Pid
	})
	other.Kill()
	p.Kill()
	it = lookAt(t, f, "mutex@0", Options{}).Objects[0].Items[0]
	if pid, _ := list[0].Owner(); it.State != "orphan" || it.Dead != pid {
		t.Errorf("%+v; Owner says %d", it, pid)
	}
}

// A file that becomes shorter is a short read.
func TestMemoryThatIsCutShort(t *testing.T) {
	s := newStage(t)
	src, err := Open(s.name)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	sub, err := Study(src, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(shmDir+"/"+s.name, 2048+40); err != nil {
		t.Fatal(err)
	}
	scene, err := Look([]*Subject{sub}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	says(t, print(scene), "11 of 12 primitives could not be read", "Mu[…] mutex: free")
	scene = s.look(Options{})
	says(t, print(scene), "it was cut short", "ACT")
}
