package shm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/layout"
	"interlock/internal/proctest"
)

// What must hold for List:
//   - an object is listed from when it has its name, with size, mode, owner and
//     age, and with exactly the processes that map it at that moment;
//   - a removed object, a memfd and a System V segment are listed as long as
//     somebody maps them, the last also if nobody does;
//   - what Share made is listed with the description of its T;
//   - a process counts if any of its threads lives, and one of another IPC
//     namespace does not count for our segment of the same ID;
//   - who may not look sees the objects, and how many processes he cannot ask.

func init() {
	// Maps what arg says, tells, and waits for its input to end.
	children["mapper"] = func(arg []string) error {
		var err error
		switch arg[0] {
		case "open":
			_, err = Open(arg[1])
		case "twice":
			_, err = Open(arg[1])
			_, err2 := Open(arg[1], ReadOnly)
			err = errors.Join(err, err2)
		case "memfd":
			_, err = Memfd(arg[1], 5000)
		case "sysv":
			var id int
			if id, err = strconv.Atoi(arg[1]); err == nil {
				_, err = unix.SysvShmAttach(id, 0, 0)
			}
		case "other sysv":
			err = attachSameID(arg[1])
		}
		if err != nil {
			return err
		}
		fmt.Println("ready")
		if len(arg) > 2 && arg[2] == "without first thread" {
			endFirstThread()
		}
		io.Copy(io.Discard, os.Stdin)
		return nil
	}
}

// attachSameID makes and attaches a segment of our own IPC namespace that has
// an ID of the test's.
func attachSameID(want string) error {
	if err := os.WriteFile("/proc/sys/kernel/shm_next_id", []byte(want), 0); err != nil {
		return err
	}
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
	if err == nil && strconv.Itoa(id) != want {
		err = fmt.Errorf("ID %d, want %s", id, want)
	}
	if err == nil {
		_, err = unix.SysvShmAttach(id, 0, 0)
	}
	return err
}

// endFirstThread ends the process's first thread; the others go on.
func endFirstThread() {
	for gone := make(chan bool); ; {
		go func() {
			runtime.LockOSThread() // a thread that is not the first stays blocked for ever
			if unix.Gettid() == os.Getpid() {
				unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
			}
			gone <- false
			select {}
		}()
		select {
		case <-gone:
		case <-time.After(100 * time.Millisecond):
			return // one of them did not come back
		}
	}
}

// mapper starts a child that has mapped something. stop ends it, and returns
// when it is gone.
func mapper(t testing.TB, prepare func(*exec.Cmd), arg ...string) (pid int, stop func()) {
	t.Helper()
	cmd := child(t, "mapper", arg...)
	if prepare != nil {
		prepare(cmd)
	}
	in := must[io.WriteCloser](t)(cmd.StdinPipe())
	out := bufio.NewScanner(must[io.ReadCloser](t)(cmd.StdoutPipe()))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !out.Scan() || out.Text() != "ready" {
		t.Fatalf("the child said %q: %v", out.Text(), cmd.Wait())
	}
	done := false
	stop = func() {
		if done {
			return
		}
		done = true
		cmd.Process.Kill()
		in.Close()
		cmd.Wait()
	}
	t.Cleanup(stop)
	return cmd.Process.Pid, stop
}

// listed returns the one object of this kind whose name contains what.
func listed(t testing.TB, kind Kind, what string) *Info {
	t.Helper()
	var found []Info
	for _, i := range must[[]Info](t)(List()) {
		if i.Kind == kind && strings.Contains(i.Name, what) {
			found = append(found, i)
		}
	}
	if len(found) > 1 {
		t.Fatalf("%d objects match %q: %+v", len(found), what, found)
	}
	if len(found) == 0 {
		return nil
	}
	return &found[0]
}

func wantUsers(t testing.TB, i *Info, users ...int) {
	t.Helper()
	slices.Sort(users)
	if i == nil {
		t.Fatal("it is not listed")
	}
	if !slices.Equal(i.Users, users) {
		t.Errorf("%v %q is used by %v, want %v", i.Kind, i.Name, i.Users, users)
	}
}

func TestListUsers(t *testing.T) {
	name := newName(t)
	base := name[1:]
	before := time.Now().Add(-time.Second)
	s := must[*Segment](t)(Create(name, 5000, Mode(0o640)))
	defer closeNow(t, s)
	i := listed(t, KindPOSIX, base)
	wantUsers(t, i, os.Getpid())
	if i.Size != 5000 || i.Mode != 0o640 || i.UID != os.Getuid() || i.GID != os.Getgid() || i.Removed || i.Type != "" {
		t.Errorf("%+v", i)
	}
	if i.Made.Before(before) || i.Changed.Before(i.Made) || i.Age() > time.Since(before) {
		t.Errorf("made %v, changed %v, age %v", i.Made, i.Changed, i.Age())
	}
	one, stopOne := mapper(t, nil, "open", name)
	two, stopTwo := mapper(t, nil, "twice", name)
	wantUsers(t, listed(t, KindPOSIX, base), os.Getpid(), one, two)
	stopOne()
	wantUsers(t, listed(t, KindPOSIX, base), os.Getpid(), two)
	if err := Remove(name); err != nil {
		t.Fatal(err)
	}
	again := must[*Segment](t)(Create(name, 64)) // same name, other object
	closeNow(t, again)
	gone := 0
	for _, i := range must[[]Info](t)(List()) {
		switch {
		case i.Name != base:
		case i.Removed:
			gone++
			wantUsers(t, &i, os.Getpid(), two)
			if i.Size != 5000 && i.Size != 8192 { // 8192 without privileges
				t.Errorf("removed: %d bytes", i.Size)
			}
		default:
			wantUsers(t, &i)
		}
	}
	if gone != 1 {
		t.Errorf("the removed one is listed %d times", gone)
	}
	stopTwo()
	closeNow(t, s)
	again = must[*Segment](t)(Open(name))
	if err := Remove(name); err != nil {
		t.Fatal(err)
	}
	wantUsers(t, listed(t, KindPOSIX, base), os.Getpid())
	closeNow(t, again)
	if i := listed(t, KindPOSIX, base); i != nil {
		t.Errorf("still listed: %+v", i)
	}
}

func TestListOfAProcessWithoutItsFirstThread(t *testing.T) {
	name := newName(t)
	s := must[*Segment](t)(Create(name, 64))
	closeNow(t, s)
	pid, _ := mapper(t, nil, "open", name, "without first thread")
	proctest.Until(t, "the first thread is a zombie", func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return strings.Contains(string(b), ") Z ")
	})
	wantUsers(t, listed(t, KindPOSIX, name[1:]), pid)
}

func TestListKinds(t *testing.T) {
	name := newName(t)
	_, s, err := Share[shared](bg, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	i := listed(t, KindPOSIX, name[1:])
	wantUsers(t, i, os.Getpid())
	if i.Type != "shm.shared 24 {A uint64@0 8; B [3]uint32@8 12}" || i.Maker != os.Getpid() || i.Size != layout.PayloadOffset+24 {
		t.Errorf("%+v", i)
	}

	sem := "sem." + runID + "list"
	plant(t, sem, make([]byte, 32))
	defer Remove(sem)
	wantUsers(t, listed(t, KindSemaphore, sem))

	label := runID + "label"
	pid, stop := mapper(t, nil, "memfd", label)
	i = listed(t, KindMemfd, label)
	wantUsers(t, i, pid)
	if i.Name != label || i.Removed || i.Size != 5000 && i.Size != 8192 {
		t.Errorf("%+v", i)
	}
	stop()
	if i = listed(t, KindMemfd, label); i != nil {
		t.Errorf("still listed: %+v", i)
	}
	for k := range KindOther + 2 {
		if (k.String() == "unknown") != (k == 0 || k > KindOther) {
			t.Errorf("kind %d is %q", k, k)
		}
	}
}

func sysvWithID(t testing.TB, id int) *Info {
	t.Helper()
	for _, i := range must[[]Info](t)(List()) {
		if i.Kind == KindSysV && i.ID == id {
			return &i
		}
	}
	return nil
}

func TestListSystemV(t *testing.T) {
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 5000, unix.IPC_CREAT|0o640)
	if err != nil {
		t.Skip("no System V segments: ", err)
	}
	defer unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	i := sysvWithID(t, id)
	wantUsers(t, i)
	if i.Key != 0 || i.Size != 5000 || i.Mode != 0o640 || i.UID != os.Getuid() || i.Maker != os.Getpid() || i.Attached != 0 || i.Removed || i.Name != "" {
		t.Errorf("%+v", i)
	}
	pid, stop := mapper(t, nil, "sysv", strconv.Itoa(id))
	if i = sysvWithID(t, id); i.Attached != 1 {
		t.Errorf("%+v", i)
	}
	wantUsers(t, i, pid)
	if os.Getuid() == 0 { // a stranger with the same ID
		newIPC := func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWIPC} }
		if _, err := os.Stat("/proc/sys/kernel/shm_next_id"); err == nil {
			mapper(t, newIPC, "other sysv", strconv.Itoa(id))
			wantUsers(t, sysvWithID(t, id), pid)
		}
	}
	if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil {
		t.Fatal(err)
	}
	if i = sysvWithID(t, id); i == nil || !i.Removed {
		t.Errorf("destroyed and attached: %+v", i)
	}
	wantUsers(t, i, pid)
	stop()
	if i = sysvWithID(t, id); i != nil {
		t.Errorf("still listed: %+v", i)
	}
}

// A segment that is removed while it is in use loses its key, and not its users,
// in whose maps the key stays.
func TestListSystemVRemovedInUse(t *testing.T) {
	s := must[*Segment](t)(SysVCreate(newKey(t), 5000))
	defer closeNow(t, s)
	id, _ := s.SysVID()
	pid, _ := mapper(t, nil, "sysv", strconv.Itoa(id))
	wantUsers(t, sysvWithID(t, id), os.Getpid(), pid)
	if err := SysVRemove(id); err != nil {
		t.Fatal(err)
	}
	i := sysvWithID(t, id)
	wantUsers(t, i, os.Getpid(), pid)
	if !i.Removed || i.Key != Private || i.Attached != 2 {
		t.Errorf("%+v", i)
	}
}

func init() {
	// Runs as another user. arg: prefix of the names, a process of root's.
	children["list as stranger"] = func(arg []string) error {
		own, err := Create(arg[0]+"own", 64)
		if err != nil {
			return err
		}
		defer Remove(arg[0] + "own")
		defer own.Close()
		all, err := List()
		if err != nil {
			return err
		}
		seen := map[string]Info{}
		for _, i := range all {
			if i.Kind == KindPOSIX && !i.Removed {
				seen[strings.TrimPrefix(i.Name, arg[0])] = i
			}
			if slices.Contains(i.Users, os.Getppid()) {
				return fmt.Errorf("root's maps were read: %+v", i)
			}
		}
		p, o := seen["private"], seen["own"]
		switch {
		case p.Size != layout.PayloadOffset+24 || p.Mode != 0o600 || p.UID != 0 || p.Type != "" || p.Maker != 0:
			return fmt.Errorf("private: %+v", p)
		case seen["public"].Type == "" || seen["public"].Maker == 0:
			return fmt.Errorf("public: %+v", seen["public"])
		case !slices.Equal(o.Users, []int{os.Getpid()}):
			return fmt.Errorf("own: %+v", o)
		}
		if p.Unknown < 1 || o.Unknown != p.Unknown { // root's test at least
			return fmt.Errorf("%d and %d unknown", p.Unknown, o.Unknown)
		}
		return nil
	}
}

func processesWithMemory() int {
	n := 0
	for _, e := range must2(os.ReadDir("/proc")) {
		b, err := os.ReadFile("/proc/" + e.Name() + "/statm")
		if _, isPid := strconv.Atoi(e.Name()); isPid == nil && err == nil && !strings.HasPrefix(string(b), "0 ") {
			n++
		}
	}
	return n
}

func must2(e []fs.DirEntry, _ error) []fs.DirEntry { return e }

func TestListAsAnotherUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	prefix := newName(t)[1:] + "-"
	for name, mode := range map[string]fs.FileMode{"private": 0o600, "public": 0o644} {
		_, s, err := Share[shared](bg, prefix+name, nil, Mode(mode))
		if err != nil {
			t.Fatal(err)
		}
		defer Remove(prefix + name)
		defer closeNow(t, s)
	}
	cmd := child(t, "list as stranger", prefix)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	mustRun(t, cmd)
}
