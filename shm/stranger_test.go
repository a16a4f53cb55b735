// What holds where a stranger unlinks the lock file of an initialiser at work, as
// one may who cleans up with rm -rf (publish.go, INV-N2):
//   - a second caller runs init beside the first, each in its own memory; only
//     one object is published, complete, and both have it;
//   - a third does not: who fails or is late leaves the second's lock alone;
//   - whatever is unlinked, however often: no half-made object, no two objects
//     under one name, nobody hangs, nothing is left.
package shm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"interlock/internal/proctest"
)

func init() {
	// arg: name. Says when it is in init, and is told how that ends: "fail", or
	// what to fill the memory with. Says in the end what it has.
	children["initialiser"] = func(arg []string) error {
		in := bufio.NewReader(os.Stdin)
		s, err := openRace(context.Background(), arg[0], false, func(v *raceT) error {
			fmt.Println("inside")
			var x uint32
			if n, _ := fmt.Fscan(in, &x); n == 0 {
				return errFlaky
			}
			v.finish(x)
			return nil
		})
		if errors.Is(err, errFlaky) {
			fmt.Println("failed")
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Println(whatItIs(s))
		return s.Close()
	}
}

// whatItIs tells objects, and what was put into them, apart.
func whatItIs(s *Segment) string {
	st, err := fstat(s.File())
	v, err2 := At[raceT](s.Bytes(), 0)
	if err := errors.Join(err, err2); err != nil {
		return err.Error()
	}
	return fmt.Sprintf("object %d of %d", st.Ino, v.Fill[0])
}

// A lockThief has unlinked the lock of a, who is in init; b is in init, too.
type lockThief struct {
	name, lock string
	a, b       *proctest.Proc
	locked     os.FileInfo // b's lock file
}

func stealLock(t *testing.T) *lockThief {
	name := newName(t)
	h := &lockThief{name: name, lock: filepath.Join(shmDir, lockName(name[1:]))}
	h.a = sysvChild(t, "initialiser", []string{name})
	h.a.Expect("inside")
	if err := os.Remove(h.lock); err != nil {
		t.Fatal(err)
	}
	h.b = sysvChild(t, "initialiser", []string{name})
	h.b.Expect("inside")
	h.locked = must[os.FileInfo](t)(os.Lstat(h.lock))
	return h
}

// stillOne: whoever comes now waits for b.
func (h *lockThief) stillOne(t *testing.T) {
	t.Helper()
	if now, err := os.Lstat(h.lock); err != nil || !os.SameFile(now, h.locked) {
		t.Errorf("the second's lock file was unlinked: %v", err)
	}
	_, err := OpenOrCreate(soon(t), h.name, raceSize, func(*Segment) error { t.Error("a third runs init"); return nil })
	want(t, err, context.DeadlineExceeded, fmt.Sprint("pid ", h.b.Pid))
}

func TestALockIsStolen(t *testing.T) {
	t.Run("and the first fails", func(t *testing.T) {
		h := stealLock(t)
		h.a.Send("fail")
		h.a.Expect("failed")
		h.stillOne(t)
		h.b.Send("2")
		h.oneObject(t, h.b.Line(), 2)
	})
	t.Run("and the first dies", func(t *testing.T) {
		h := stealLock(t)
		h.a.Kill()
		h.stillOne(t)
		h.b.Send("2")
		h.oneObject(t, h.b.Line(), 2)
	})
	t.Run("and the first publishes", func(t *testing.T) {
		h := stealLock(t)
		h.a.Send("1")
		first := h.a.Line()
		h.b.Send("2")
		if second := h.b.Line(); second != first {
			t.Errorf("one has %s, the other %s", first, second)
		}
		h.oneObject(t, first, 1)
	})
	t.Run("and the second publishes", func(t *testing.T) {
		h := stealLock(t)
		h.b.Send("2")
		second := h.b.Line()
		h.a.Send("1")
		if first := h.a.Line(); first != second {
			t.Errorf("one has %s, the other %s", first, second)
		}
		h.oneObject(t, second, 2)
	})
}

// oneObject: under the name is what was said to be, and nothing beside it.
func (h *lockThief) oneObject(t *testing.T, said string, fill uint32) {
	t.Helper()
	s := must[*Segment](t)(Open(h.name))
	defer closeNow(t, s)
	if is := whatItIs(s); is != said || !strings.HasSuffix(is, fmt.Sprint(" of ", fill)) {
		t.Errorf("there is %s, said was %s, want what %d has filled", is, said, fill)
	}
	if exists(h.lock) {
		t.Error("the lock file is left")
	}
}

func init() {
	// A name in, what it is out.
	children["stolen from"] = func([]string) error {
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			s, err := openRace(context.Background(), in.Text(), false, func(v *raceT) error {
				v.finish(uint32(os.Getpid()))
				return nil
			})
			if err != nil {
				return err
			}
			fmt.Println(whatItIs(s))
			if err := s.Close(); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestLocksAreStolenAllTheTime(t *testing.T) {
	proctest.Watchdog(t, time.Minute, nil)
	procs := make([]*proctest.Proc, 6)
	for i := range procs {
		procs[i] = sysvChild(t, "stolen from", nil)
	}
	enough, rounds := proctest.Scaled(100, 30), 0
	var stolen atomic.Int32
	var lock atomic.Pointer[string]
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				if p := lock.Load(); p != nil && os.Remove(*p) == nil {
					stolen.Add(1)
				}
			}
		}
	}()
	for ; stolen.Load() < int32(enough); rounds++ {
		name := newName(t)
		path := filepath.Join(shmDir, lockName(name[1:]))
		lock.Store(&path)
		for _, p := range procs {
			p.Send(name)
		}
		first := procs[0].Line()
		for _, p := range procs[1:] {
			if line := p.Line(); line != first {
				t.Errorf("one has %s, another %s", first, line)
			}
		}
		if err := Remove(name); err != nil || exists(path) {
			t.Errorf("%v, or the lock file is left", err)
		}
	}
	close(stop)
	<-done
	t.Logf("%d locks stolen in %d rounds", stolen.Load(), rounds)
}
