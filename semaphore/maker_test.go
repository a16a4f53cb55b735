// What holds while a named semaphore is made:
//   - it appears complete or not at all (T62);
//   - of many who create it at once one makes it, the others open it (T61);
//   - what a killed maker left is harmless, and the next maker removes it;
//   - a full file system is an error, and leaves nothing (T70, P-K5).
package semaphore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

func TestAFullFileSystemIsAnErrorAndLeavesNothing(t *testing.T) { // T70, P-K5
	proctest.Watchdog(t, hang, nil)
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a small tmpfs")
	}
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=4096,mode=1777"); err != nil {
		t.Skipf("cannot mount a tmpfs: %v", err)
	}
	defer unix.Unmount(small, unix.MNT_DETACH)
	defer func(was string) { dir = was }(dir)
	dir = small
	fill := filepath.Join(small, "fill")
	if err := os.WriteFile(fill, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open("full", Create(1))
	expectIs(t, "Open in a full file system", err, unix.ENOSPC)
	if left, _ := os.ReadDir(small); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, "full", Create(1))
}

func TestOfManyMakersOneMakesIt(t *testing.T) { // T61
	name, _ := named(t)
	const processes = 4
	for round := range 10 {
		var children []*proctest.Proc
		for range processes {
			p := proctest.Start(t, "opener", proctest.Args(name, strconv.Itoa(processes+round)))
			p.Expect("here")
			children = append(children, p)
		}
		for _, p := range children {
			p.Send("go")
		}
		for _, p := range children {
			p.Expect("got")
			p.WaitExit(0)
		}
		n := mustOpen(t, name)
		expectValue(t, n.Semaphore, uint32(round)) // made once: processes+round, each took one
		if err := Unlink(name); err != nil {
			t.Fatal(err)
		}
	}
	if left := temporaries(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

func TestExclusiveIsExclusive(t *testing.T) { // T61
	name, _ := named(t)
	for range 100 {
		var all sync.WaitGroup
		made := make(chan *Named, 8)
		all.Add(cap(made))
		for range cap(made) {
			go func() {
				defer all.Done()
				n, err := Open(name, Create(1), Exclusive)
				if err == nil {
					made <- n
				} else if !errors.Is(err, fs.ErrExist) {
					t.Error(err)
				}
			}()
		}
		all.Wait()
		if len(made) != 1 {
			t.Fatalf("%d have made it", len(made))
		}
		if err := errors.Join((<-made).Close(), Unlink(name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheTemporaryOfADeadMakerIsReclaimed(t *testing.T) { // T62
	name, _ := named(t)
	dead, live := dir+"/"+tempName+"dead", dir+"/"+tempName+"live"
	defer os.Remove(live)
	defer os.Remove(dead)
	if err := os.WriteFile(dead, make([]byte, 7), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(live, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if ours, err := tryLock(f); !ours || err != nil {
		t.Fatal(ours, err)
	}
	mustOpen(t, name, Create(1))
	if _, err := os.Lstat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dead maker's file: %v", err)
	}
	if _, err := os.Lstat(live); err != nil {
		t.Errorf("a living maker's file: %v", err)
	}
}

func TestAMakerKilledBetweenItsSteps(t *testing.T) { // T62, by marks
	name, path := named(t)
	for _, where := range []string{"semaphore.Open made not linked", "semaphore.Open linked not tidied"} {
		p := proctest.Start(t, "opener", proctest.Args(name, "4"), proctest.Mark(where))
		p.Expect("here")
		p.Send("go")
		p.WaitKilled(unix.SIGKILL)
		if left := temporaries(); len(left) != 1 {
			t.Errorf("%s: left %q", where, left)
		}
		_, err := os.Lstat(path)
		if linked := err == nil; linked != strings.Contains(where, " linked ") {
			t.Errorf("%s: %v", where, err)
		}
		n := mustOpen(t, name, Create(4)) // an existing one is complete
		expectValue(t, n.Semaphore, 4)
		if err := Unlink(name); err != nil {
			t.Fatal(err)
		}
		mustOpen(t, name, Create(4), Exclusive)
		if left := temporaries(); len(left) > 0 {
			t.Errorf("%s: still left %q", where, left)
		}
		if err := Unlink(name); err != nil {
			t.Fatal(err)
		}
	}
}
