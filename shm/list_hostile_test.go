package shm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

// What must hold for List, whatever strangers put into /dev/shm:
//   - it neither fails nor waits, and it opens nothing but regular files: no
//     FIFO's writer is let go on, no link is followed, no hole is filled;
//   - any bytes in front of an object are a Type or none, and the Type can be
//     printed;
//   - names of all kinds come out as they are, and a name that looks like
//     something else is still what it is;
//   - what comes, goes and changes its size while it is listed harms nothing;
//   - a thousand objects cost one pass over /proc.

// planted is what one hostile name must be listed as.
type planted struct {
	kind Kind
	mode fs.FileMode // the type bits
	size int64
	typ  bool // has a Type
}

// plantAll fills dir, and returns what List must make of it.
func plantAll(t *testing.T, dir string) map[string]planted {
	good := goodSegment(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	want := map[string]planted{}
	file := func(name string, b []byte, typ bool) {
		plant(t, name, b)
		want[name] = planted{KindPOSIX, 0, int64(len(b)), typ}
	}
	file("empty", nil, false)
	file("zeros", make([]byte, 4096), false)
	file("ones", bytes.Repeat([]byte{0xff}, 4096), false)
	file("good", good, true)
	file("cut", good[:len(good)-1], false)
	file("cut header", good[:1000], false)
	lying := bytes.Clone(good)
	binary.NativeEndian.PutUint64(lying[24:], 1<<63) // T's size
	file("lying", lying, false)
	terminal := bytes.Clone(good)
	copy(terminal[128:], "\x1b[2J\n\r\x07")
	file("terminal", terminal, true)
	for _, name := range []string{"new\nline", "\x1b[2J", "\xff\xfe", "-rf", "x (deleted)", "memfd:x (deleted)", "SYSV00000000 (deleted)", strings.Repeat("n", 255)} {
		file(name, []byte("x"), false)
	}
	plant(t, "huge", nil)
	if err := os.Truncate(at("huge"), 1<<50); err != nil {
		t.Fatal(err)
	}
	want["huge"] = planted{KindPOSIX, 0, 1 << 50, false}
	plant(t, "sem.a", make([]byte, 32))
	want["sem.a"] = planted{KindSemaphore, 0, 32, false}
	plant(t, lockName("x"), nil)
	want[lockName("x")] = planted{KindOther, 0, 0, false}
	for name, make := range map[string]func(path string) error{
		"dangling":  func(path string) error { return os.Symlink(at("nowhere"), path) },
		"link":      func(path string) error { return os.Symlink(at("good"), path) },
		"sem.link":  func(path string) error { return os.Symlink("sem.link", path) },
		"FIFO":      func(path string) error { return unix.Mkfifo(path, 0o666) },
		"directory": func(path string) error { return os.Mkdir(path, 0o777) },
		"socket":    func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o666, 0) },
		"device":    func(path string) error { return unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))) },
	} {
		if err := make(at(name)); err != nil {
			t.Logf("without %s: %v", name, err)
			continue
		}
		mode := map[string]fs.FileMode{"FIFO": fs.ModeNamedPipe, "directory": fs.ModeDir, "socket": fs.ModeSocket, "device": fs.ModeDevice | fs.ModeCharDevice}[name]
		if mode == 0 {
			mode = fs.ModeSymlink
		}
		want[name] = planted{KindOther, mode, -1, false}
	}
	return want
}

func TestListOfHostileNames(t *testing.T) {
	dir := ownDir(t)
	want := plantAll(t, dir)
	blocks := func() int64 {
		var st unix.Stat_t
		unix.Stat(filepath.Join(dir, "huge"), &st)
		return st.Blocks
	}
	before, opened := blocks(), watchOpens(t, dir)
	start := time.Now()
	all := must[[]Info](t)(List())
	if took := time.Since(start); took > breach {
		t.Errorf("it took %v", took)
	}
	for _, name := range opened() {
		if w := want[name]; w.kind != KindPOSIX {
			t.Errorf("%q was opened", name)
		}
	}
	if after := blocks(); after != before {
		t.Errorf("the sparse one has %d blocks, had %d", after, before)
	}
	found := 0
	for _, i := range all {
		w, ok := want[i.Name]
		if !ok {
			continue // a memfd, or a System V segment, of somebody else
		}
		found++
		if i.Kind != w.kind || i.Mode.Type() != w.mode || w.size >= 0 && i.Size != w.size || (i.Type != "") != w.typ || len(i.Users) > 0 {
			t.Errorf("%q: %+v, want %+v", i.Name, i, w)
		}
		if strings.ContainsAny(i.Type, "\x1b\n\r\x07") {
			t.Errorf("%q: unprintable type %q", i.Name, i.Type)
		}
	}
	if found != len(want) {
		t.Errorf("%d of %d names are listed", found, len(want))
	}
}

// watchOpens returns a function that tells which names in dir were opened since.
func watchOpens(t *testing.T, dir string) func() []string {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	return func() (names []string) {
		b := make([]byte, 1<<16)
		n, _ := unix.Read(fd, b)
		for b = b[:max(n, 0)]; len(b) >= unix.SizeofInotifyEvent; {
			length := int(binary.NativeEndian.Uint32(b[12:]))
			name, _, _ := strings.Cut(string(b[unix.SizeofInotifyEvent:][:length]), "\x00")
			if name != "" { // the directory itself
				names = append(names, name)
			}
			b = b[unix.SizeofInotifyEvent+length:]
		}
		return names
	}
}

// A file with a lease makes whoever opens it wait for its holder, for 45 s.
func TestListDoesNotWaitForALease(t *testing.T) {
	dir := ownDir(t)
	plant(t, "leased", make([]byte, 4096))
	f := must[*os.File](t)(os.OpenFile(filepath.Join(dir, "leased"), os.O_RDWR, 0))
	defer f.Close()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skip("no leases: ", err)
	}
	start := time.Now()
	if i := listed(t, KindPOSIX, "leased"); i == nil || i.Size != 4096 {
		t.Errorf("%+v", i)
	}
	if took := time.Since(start); took > 20*time.Second { // a busy machine is slow, too
		t.Errorf("it took %v", took)
	}
}

// Mapped under names that look like something else.
func TestListOfDeceivingNames(t *testing.T) {
	ownDir(t)
	for _, name := range []string{"x (deleted)", "memfd:x (deleted)", "SYSV00000000 (deleted)"} {
		s := must[*Segment](t)(Create(name, 64))
		wantUsers(t, listed(t, KindPOSIX, name), os.Getpid())
		closeNow(t, s)
	}
	// A removed one keeps its own " (deleted)", and no living one gets its users.
	s := must[*Segment](t)(Create("y", 64))
	o := must[*Segment](t)(Open("y"))
	defer closeNow(t, o)
	closeNow(t, s)
	if err := Remove("y"); err != nil {
		t.Fatal(err)
	}
	plant(t, "y (deleted)", []byte("z"))
	for _, i := range must[[]Info](t)(List()) {
		switch i.Name {
		case "y":
			wantUsers(t, &i, os.Getpid())
		case "y (deleted)":
			wantUsers(t, &i)
		}
	}
}

func TestListWhileAllChanges(t *testing.T) {
	dir := ownDir(t)
	good := goodSegment(t)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			path := filepath.Join(dir, fmt.Sprint(n))
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				switch k % 4 {
				case 0:
					os.WriteFile(path, good, 0o600)
				case 1:
					os.Truncate(path, int64(k*97%len(good)))
				case 2:
					os.Rename(path, path+"'")
				case 3:
					os.Remove(path + "'")
				}
			}
		}()
	}
	for range proctest.Scaled(60, 20) {
		must[[]Info](t)(List())
	}
	close(stop)
	wg.Wait()
}

func init() {
	children["list with few descriptors"] = func([]string) error {
		if _, err := List(); err != nil { // the runtime gets what it keeps
			return err
		}
		before, failed := openDescriptors(), 0
		for room := range uint64(6) {
			for _, limit := range []uint64{uint64(lowestFree()) + room, 1000} {
				if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: 1000}); err != nil {
					return err
				}
				if limit == 1000 {
					break
				}
				if _, err := List(); err != nil {
					failed++
					if !errors.Is(err, unix.EMFILE) {
						return err
					}
				}
			}
			if after := openDescriptors(); after != before {
				return fmt.Errorf("with %d more: before %s, after %s", room, before, after)
			}
		}
		if failed == 0 {
			return errors.New("it never ran out of them")
		}
		return nil
	}
}

// T73, for the call that opens the most.
func TestListWithFewDescriptors(t *testing.T) { mustRun(t, child(t, "list with few descriptors")) }

func TestListOfAThousand(t *testing.T) {
	name := newName(t)
	closeNow(t, must[*Segment](t)(Create(name, 64)))
	users := 3
	if isLong() {
		users = 500
	}
	for range users {
		mapper(t, nil, "open", name)
	}
	if i := listed(t, KindPOSIX, name[1:]); len(i.Users) != users {
		t.Errorf("%d users, want %d", len(i.Users), users)
	}
	ownDir(t)
	for i := range 1000 {
		plant(t, fmt.Sprintf("%d", i), goodSizedHeader)
	}
	start := time.Now()
	all := must[[]Info](t)(List())
	took := time.Since(start)
	t.Logf("%d objects, %d processes: %v", len(all), processesWithMemory(), took)
	if len(all) < 1000 || took > breach {
		t.Errorf("%d objects in %v", len(all), took)
	}
}

// goodSizedHeader is large enough to be read.
var goodSizedHeader = make([]byte, 4096)
