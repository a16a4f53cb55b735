// What holds for repairs:
//   - one registered for the mutex goes before one for its memory, the later before
//     the earlier one, and a nil ends what was registered;
//   - none runs before the dead one's threads have stopped; the wait for them can
//     be cancelled, and who waits next waits for the same (T28, P-K16).
package mutex

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/robust"
)

func TestWhichRepairRuns(t *testing.T) {
	f, b := newBoard(t)
	mem := proctest.Map(t, f)
	m := &at[board](mem, 0).m
	var ran string
	one := func(name string) func(int) error {
		return func(int) error { ran = name; return nil }
	}
	all := func(name string) func(*Mutex, int) error {
		return func(of *Mutex, _ int) error {
			if of != m {
				t.Errorf("the repair is told of %p, not %p", of, m)
			}
			ran = name
			return nil
		}
	}
	runs := func(want string) {
		t.Helper()
		ran = ""
		m.word.Store(robust.OwnerDied)
		err := lockInTime(t, m)
		if err == nil {
			m.Unlock()
		}
		if ran != want || (err == nil) != (want != "") {
			t.Errorf("%q ran, not %q: %v", ran, want, err)
		}
		m.word.Store(0)
	}
	OnOwnerDeath(mem, all("memory"))
	runs("memory")
	OnOwnerDeath(mem[:64], all("later"))
	runs("later")
	m.OnOwnerDeath(one("exact"))
	runs("exact")
	OnOwnerDeath(mem, all("latest"))
	runs("exact")
	m.OnOwnerDeath(nil)
	runs("latest")
	b.m.OnOwnerDeath(one("another address")) // the same mutex, mapped elsewhere
	runs("latest")
	OnOwnerDeath(mem[64:], all("beside"))
	runs("latest")
	OnOwnerDeath(mem[:128], nil) // ends "later", not what reaches beyond
	runs("latest")
	OnOwnerDeath(mem, nil)
	runs("")
	OnOwnerDeath(nil, all("nothing"))
	runs("")
	b.m.OnOwnerDeath(nil)
}

// A thread in a system call cannot be killed before that is over. The heir waits
// for it, and one that gives up waiting leaves the next heir the same to wait for.
func TestTheHeirWaitsForTheDeadOnesThreads(t *testing.T) {
	proctest.NeedsRobustLists(t)
	f, b := newBoard(t)
	owner := startPeer(t, f)
	owner.do("doom", "ok", "lock", "held")
	owner.Send("go linger")
	owner.Expect("lingering")
	killed := now()
	owner.Signal(unix.SIGKILL)
	proctest.Until(t, "the kernel's mark", func() bool { return orphaned(&b.m) })
	t.Logf("kill to mark: %v", since(killed))
	ran := false
	b.m.OnOwnerDeath(func(pid int) error {
		ran = true
		if killPending(owner.Pid) {
			t.Errorf("the repair runs %v after the kill, with a thread of the dead one still to stop", since(killed))
		}
		if pid != owner.Pid {
			t.Errorf("repair after process %d, but %d died", pid, owner.Pid)
		}
		return nil
	})
	for killPending(owner.Pid) && !ran {
		err := b.m.LockContext(within(t, time.Millisecond))
		switch {
		case err == nil:
			b.m.Unlock()
		case !errors.Is(err, context.DeadlineExceeded):
			t.Fatalf("LockContext: %v", err)
		case !orphaned(&b.m):
			t.Fatalf("given back as something else: %v", b)
		default:
			if pid, _ := b.m.Owner(); pid != owner.Pid {
				t.Errorf("once given back, process %d is who died, not %d", pid, owner.Pid)
			}
		}
	}
	mustHold(t, &b.m)
	b.m.Unlock()
	t.Logf("kill to acquired: %v", since(killed))
	if !ran {
		t.Error("no repair ran")
	}
	owner.WaitKilled(unix.SIGKILL)
}

// killPending reports whether a thread of the process has SIGKILL still to take.
func killPending(pid int) bool {
	files, _ := filepath.Glob("/proc/" + itoa(pid) + "/task/*/status")
	for _, file := range files {
		status, _ := os.ReadFile(file)
		_, rest, _ := strings.Cut(string(status), "\nSigPnd:\t")
		set, _, _ := strings.Cut(rest, "\n")
		if n, err := strconv.ParseUint(set, 16, 64); err == nil && n&(1<<(unix.SIGKILL-1)) != 0 {
			return true
		}
	}
	return false
}
