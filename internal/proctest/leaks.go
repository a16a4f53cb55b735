package proctest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// grace is how long what is on its way out may take: a process killed a moment
// ago is still seen. Only a run that leaves something waits that long.
var grace = 20 * time.Second

// shmNames counts the names given out.
var shmNames atomic.Int64

// ShmName returns a name, "/interlock-test-…", that no other test of this or any
// other process uses. The test removes what it makes under it, in /dev/shm too
// under "sem." or another prefix; what is left fails the test, and is removed.
func ShmName(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("interlock-test-%s-%d", run, shmNames.Add(1))
	t.Cleanup(func() {
		for _, path := range shmFiles(name) {
			os.Remove(path)
			t.Errorf("the test leaves %s", path)
		}
	})
	return "/" + name
}

// shmFiles returns what is in /dev/shm with this name as a whole word in it.
func shmFiles(name string) []string {
	paths, _ := filepath.Glob("/dev/shm/*" + name + "*")
	hidden, _ := filepath.Glob("/dev/shm/.*" + name + "*")
	return slices.DeleteFunc(append(paths, hidden...), func(path string) bool {
		_, rest, _ := strings.Cut(path, name)
		return rest != "" && '0' <= rest[0] && rest[0] <= '9' // -12 is not -1
	})
}

// complain reports what the tests left behind and returns the exit code.
func complain(before map[string]string) int {
	code := 0
	fault := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "proctest: "+format+"\n", args...)
		code = 1
	}
	for _, name := range unused() {
		fault("the child function %q is registered and never started", name)
	}
	for _, pid := range settle(strays) {
		fault("a process is left: %s", Describe(pid))
	}
	for _, fd := range settle(func() []string { return opened(before) }) {
		fault("a descriptor is left open: %s", fd)
	}
	for _, path := range shmFiles("interlock-test-" + run) {
		fault("a name is left: %s", path)
		os.Remove(path)
	}
	for _, id := range sysvLeft() {
		fault("a System V segment is left: ipcrm -m %s", id)
	}
	return code
}

// sysvLeft returns the ids of System V segments that this run made and did not
// remove. The kernel keeps the maker's pid: column cpid of
//
//	key shmid perms size cpid lpid nattch …
func sysvLeft() []string {
	var ids []string
	for _, line := range strings.Split(read("/proc/sysvipc", "shm"), "\n") {
		if f := strings.Fields(line); len(f) > 5 && isOurs(f[4]) {
			ids = append(ids, f[1])
		}
	}
	return ids
}

// isOurs reports whether a pid, in decimal, is or was a process of this run.
func isOurs(pid string) bool {
	n, err := strconv.Atoi(pid)
	mu.Lock()
	defer mu.Unlock()
	return err == nil && (n == os.Getpid() || started[n])
}

// settle repeats a look until it finds nothing, or grace is over.
func settle[T any](look func() []T) []T {
	deadline := time.Now().Add(grace)
	for {
		found := look()
		if len(found) == 0 || time.Now().After(deadline) {
			return found
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// unused returns the child functions that a full run never started.
func unused() []string {
	if !isFullRun() {
		return nil
	}
	mu.Lock()
	defer mu.Unlock()
	var names []string
	for name, e := range registry {
		if !e.used {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// isFullRun reports whether every test was asked to run.
func isFullRun() bool {
	return !testing.Short() && flagValue("test.run") == "" && flagValue("test.skip") == "" && flagValue("test.list") == ""
}

// isFuzzWorker reports whether go test -fuzz started us as one of its workers,
// which it ends without ceremony.
func isFuzzWorker() bool { return flagValue("test.fuzzworker") == "true" }

func flagValue(name string) string {
	if f := flag.Lookup(name); f != nil {
		return f.Value.String()
	}
	return ""
}

// strays returns the processes of this run that still exist: our own children,
// zombies too, and whoever inherited this run's environment from one of them.
func strays() []int {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var found []int
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if pid == os.Getpid() {
			continue
		}
		if parent(pid) == os.Getpid() || slices.Contains(strings.Split(read(dir, "environ"), "\x00"), envRun+"="+run) {
			found = append(found, pid)
		}
	}
	return found
}

// descriptors returns the open descriptors and what they are.
func descriptors() map[string]string {
	// The runtime opens its poller at the first pipe and keeps it: open it now.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	return listDescriptors()
}

func listDescriptors() map[string]string {
	fds := map[string]string{}
	paths, _ := filepath.Glob("/proc/self/fd/*")
	for _, path := range paths {
		// Glob's own descriptor is closed by now and has no link any more.
		if to, err := os.Readlink(path); err == nil {
			fds[filepath.Base(path)] = to
		}
	}
	return fds
}

// opened returns the descriptors that were not open before.
func opened(before map[string]string) []string {
	var found []string
	now := listDescriptors()
	for _, fd := range slices.Sorted(maps.Keys(now)) {
		if before[fd] != now[fd] {
			found = append(found, fmt.Sprintf("%s -> %s", fd, now[fd]))
		}
	}
	return found
}
