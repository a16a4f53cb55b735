// What holds between this package and C, whose side is testdata/sysv.c:
//   - Ftok is ftok(3), for every kind of path and every byte;
//   - what C made with shmget Go opens, and the other way round, and both see the
//     same bytes, sizes, modes and counts;
//   - either removes what the other made, and Removed tells.
package shm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"interlock/internal/proctest"
)

// A sysvC is a program in C that does as it is told, a line at a time.
type sysvC struct {
	t *testing.T
	*proctest.Proc
}

func startC(t *testing.T) sysvC { return startProgramInC(t, "sysv") }

// startProgramInC builds and starts a program of testdata that answers line by
// line.
func startProgramInC(t *testing.T, name string) sysvC {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip("needs gcc, for a program in C")
	}
	prog, source := filepath.Join(t.TempDir(), name), "testdata/"+name+".c"
	if out, err := exec.Command(gcc, "-O2", "-Wall", "-Werror", "-o", prog, source, "-lrt").CombinedOutput(); err != nil {
		t.Fatalf("gcc cannot build %s: %v\n%s", source, err, out)
	}
	c := sysvC{t, proctest.StartProgram(t, prog)}
	isOfFamily(c.Pid)
	return c
}

func (c sysvC) ask(format string, args ...any) string {
	c.t.Helper()
	c.Send(fmt.Sprintf(format, args...))
	return c.Line()
}

func (c sysvC) expect(answer, format string, args ...any) {
	c.t.Helper()
	if got := c.ask(format, args...); got != answer {
		c.t.Errorf("C: "+format+": %s, want %s", append(args, got, answer)...)
	}
}

func TestFtokIsCs(t *testing.T) { // T75
	c := startC(t)
	dir := t.TempDir()
	file, link := filepath.Join(dir, "a file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, link, dir, ".", "/", "/proc", "/dev/null", "/etc/passwd"} {
		if _, err := os.Stat(path); err != nil {
			continue
		}
		for _, id := range []int{0, 1, 'A', 127, 128, 255} {
			key := must[Key](t)(Ftok(path, byte(id)))
			c.expect(key.String(), "ftok %d %s", id, path)
			c.expect(key.String(), "ftok %d %s", id+0x1200, path) // the low 8 bits count
		}
	}
	if a, b := must[Key](t)(Ftok(file, 1)), must[Key](t)(Ftok(link, 1)); a != b {
		t.Errorf("a link is %v, its file %v", b, a)
	}
	missing := filepath.Join(dir, "missing")
	want(t, failed(Ftok(missing, 1)), ErrNotExist, missing)
	c.expect("0xffffffff", "ftok 1 %s", missing)
}

func TestGoOpensWhatCMade(t *testing.T) { // T75
	c := startC(t)
	key := newKey(t)
	id, err := strconv.Atoi(c.ask("create %v 5000 640", key))
	if err != nil {
		t.Fatal(err)
	}
	want(t, failed(SysVCreate(key, 64)), ErrExist, "5000 bytes", "mode 0640", fmt.Sprint("pid ", c.Pid))
	s := must[*Segment](t)(SysVOpen(key))
	defer closeNow(t, s)
	if got, _ := s.SysVID(); got != id || s.Size() != 5000 || must[int](t)(SysVID(key)) != id {
		t.Errorf("id %d, %d bytes; C says %d", got, s.Size(), id)
	}
	if info := must[SysVInfo](t)(SysVStat(id)); info.CreatorPID != c.Pid || info.Mode != 0o640 || info.Attached != 1 || info.Key != key {
		t.Errorf("%+v", info)
	}
	c.expect("0", "attach %d", id)
	c.expect("0", "put 4999 200")
	if s.Bytes()[4999] != 200 || must[SysVInfo](t)(SysVStat(id)).Attached != 2 {
		t.Error("not shared")
	}
	s.Bytes()[1] = 99
	c.expect("99", "get 1")
	c.expect("0", "detach")
	c.expect("0", "remove %d", id)
	want(t, s.Removed(), ErrRemoved)
}

func TestCOpensWhatGoMade(t *testing.T) { // T75
	c := startC(t)
	key := newKey(t)
	c.expect("ENOENT", "find %v", key)
	s := must[*Segment](t)(SysVCreate(key, 5000, Mode(0o604)))
	id, _ := s.SysVID()
	s.Bytes()[4999] = 17
	c.expect(fmt.Sprint(id), "find %v", key)
	c.expect("EEXIST", "create %v 5000 600", key)
	c.expect("EEXIST", "create %v 5001 600", key)
	c.expect("0", "attach %d", id)
	c.expect("5000 2 604", "stat %d", id)
	c.expect("17", "get 4999")
	c.expect("0", "put 0 33")
	if s.Bytes()[0] != 33 {
		t.Error("not shared")
	}
	closeNow(t, s)
	c.expect("5000 1 604", "stat %d", id)
	if err := SysVSet(id, 0o660); err != nil {
		t.Error(err)
	}
	if err := SysVRemove(id); err != nil {
		t.Error(err)
	}
	c.expect("5000 1 1660", "stat %d", id) // SHM_DEST
	c.expect("17", "get 4999")
	c.expect("0", "detach")
	c.expect("EINVAL", "stat %d", id)
}
