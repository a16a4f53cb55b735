// What holds under a memory limit of this process's cgroup, as a container has it
// (T70):
//   - what does not fit is ENOMEM, which names the limit and what is left, instead
//     of the end of the process by the OOM killer; nothing is left behind;
//   - page cache is no obstacle: the kernel gives it up;
//   - it is found in both versions of cgroups, and in the cgroups above; what
//     cannot be read limits nothing.
package shm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

func TestMemoryCgroups(t *testing.T) {
	const (
		v1     = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
		v2     = "41 31 0:38 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
		others = "34 31 0:35 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n31 23 0:28 / / rw - tmpfs tmpfs rw\nodd\n\n"
	)
	for _, x := range []struct{ what, own, mounts, want string }{
		{"version 2", "0::/a.slice/b.scope\n", others + v2, "/sys/fs/cgroup/a.slice/b.scope /sys/fs/cgroup/a.slice /sys/fs/cgroup"},
		{"version 1", "9:cpu:/x\n4:hugetlb,memory:/docker/9c\n", others + v1, "/sys/fs/cgroup/memory/docker/9c /sys/fs/cgroup/memory/docker /sys/fs/cgroup/memory"},
		{"in a namespace", "0::/\n", v2, "/sys/fs/cgroup"},
		{"both", "4:memory:/m\n0::/u\n", v1 + strings.ReplaceAll(v2, "/sys/fs/cgroup", "/u2"), "/sys/fs/cgroup/memory/m /sys/fs/cgroup/memory /u2/u /u2"},
		{"a container without a namespace", "4:memory:/docker/9c/in\n", strings.ReplaceAll(v1, "32 /", "32 /docker/9c"), "/sys/fs/cgroup/memory/in /sys/fs/cgroup/memory"},
		{"only another's is mounted", "4:memory:/docker/9c\n", strings.ReplaceAll(v1, "32 /", "32 /docker/9"), ""},
		{"outside of the namespace", "0::/../x\n", v2, ""},
		{"no memory controller", "9:cpu:/x\n", others + v1, ""},
		{"nonsense", "\n:\n0\nx:y\n", "a\n - \n1 2 3 4 5 - cgroup\n" + others, ""},
	} {
		if got := memoryCgroups(x.own, x.mounts); strings.Join(got, " ") != x.want {
			t.Errorf("%s: %q, want %q", x.what, got, x.want)
		}
	}
}

func TestWhatACgroupLeaves(t *testing.T) {
	const none = "9223372036854771712" // version 1's
	cache := "anon 5\nfile 100\ninactive_file 20\nactive_file 10\nslab_reclaimable 3\n"
	for _, x := range []struct {
		what        string
		files       []string // name, content
		swap        int64
		limit, left int64
	}{
		{"version 2", []string{"max", "100\n", "current", "60\n", "stat", cache}, 0, 100, 73},
		{"version 2, may swap", []string{"max", "100", "current", "60", "swap.max", "max", "swap.current", "1"}, 7, 100, 47},
		{"version 2, may swap a little", []string{"max", "100", "current", "60", "swap.max", "6", "swap.current", "1"}, 7, 100, 45},
		{"version 2, may not swap", []string{"max", "100", "current", "60", "swap.max", "0", "swap.current", "0"}, 7, 100, 40},
		{"version 2, over its limit", []string{"max", "100", "current", "130"}, 0, 100, -30},
		{"version 2, no limit", []string{"max", "max", "current", "60"}, 0, noLimit, noLimit},
		{"version 1", []string{"limit_in_bytes", "100", "usage_in_bytes", "60", "stat", "inactive_file 99\ntotal_inactive_file 20\ntotal_active_file 1\n"}, 0, 100, 61},
		{"version 1, may swap", []string{"limit_in_bytes", "100", "usage_in_bytes", "60", "memsw.limit_in_bytes", none, "memsw.usage_in_bytes", "60"}, 7, 100, 47},
		{"version 1, may swap a little", []string{"limit_in_bytes", "100", "usage_in_bytes", "60", "memsw.limit_in_bytes", "110", "memsw.usage_in_bytes", "65"}, 7, 110, 45},
		{"version 1, no limit", []string{"limit_in_bytes", none, "usage_in_bytes", "60"}, 0, noLimit, noLimit},
		{"no usage", []string{"max", "100"}, 0, noLimit, noLimit},
		{"nothing", nil, 0, noLimit, noLimit},
	} {
		dir := t.TempDir()
		for f := range slices.Chunk(x.files, 2) {
			if err := os.WriteFile(dir+"/memory."+f[0], []byte(f[1]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if limit, left := cgroupLeft(dir, 50, x.swap); limit != x.limit || min(left, noLimit) != x.left {
			t.Errorf("%s: %d of %d are left, want %d of %d", x.what, left, limit, x.left, x.limit)
		}
	}
}

const cap1 = 128 * mib // of the cgroup that the test makes

func init() {
	// arg: a cgroup with a limit of cap1, a directory on a disk or ""
	children["capped"] = func(arg []string) error {
		if err := os.WriteFile(arg[0]+"/cgroup.procs", []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
			return fmt.Errorf("skip: %w", err)
		}
		m, err := Memfd("fits", 96*mib)
		if err != nil {
			return err
		}
		name := filepath.Base(arg[0])
		calls := map[string]func(n int64) (*Segment, error){
			"Memfd":        func(n int64) (*Segment, error) { return Memfd("x", n) },
			"Create":       func(n int64) (*Segment, error) { return Create(name, n) },
			"OpenOrCreate": func(n int64) (*Segment, error) { return OpenOrCreate(bg, name, n, nil) },
		}
		for what, call := range calls {
			for _, n := range []int64{48 * mib, 4 * cap1} { // less than a piece, and more
				_, err := call(n)
				if !errors.Is(err, unix.ENOMEM) || !strings.Contains(err.Error(), arg[0]) || !strings.Contains(err.Error(), strconv.Itoa(cap1)) || !strings.Contains(err.Error(), "--memory") {
					return fmt.Errorf("%s of %d bytes: %w", what, n, err)
				}
			}
		}
		if err := m.Close(); err != nil || arg[1] == "" {
			return err
		}
		return cacheIsNoObstacle(arg[1])
	}
}

// cacheIsNoObstacle fills the cgroup with page cache, and takes its place.
func cacheIsNoObstacle(dir string) error {
	f, err := os.CreateTemp(dir, "")
	if err != nil {
		return err
	}
	defer f.Close()
	for range 100 {
		if _, err := f.Write(bytes.Repeat([]byte("x"), mib)); err != nil {
			return err
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	m, err := Memfd("instead of cache", 80*mib)
	if err != nil {
		return err
	}
	return m.Close()
}

// cappedCgroup makes a cgroup that may have cap1 bytes of memory.
func cappedCgroup(t *testing.T) string {
	t.Helper()
	own, _ := os.ReadFile("/proc/self/cgroup")
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for _, above := range memoryCgroups(string(own), string(mounts)) {
		dir := filepath.Join(above, runID+"capped")
		if os.Mkdir(dir, 0o700) != nil {
			continue
		}
		t.Cleanup(func() {
			proctest.Until(t, "the cgroup is empty", func() bool { return !errors.Is(unix.Rmdir(dir), unix.EBUSY) })
		})
		set := func(name string, n int) error {
			return os.WriteFile(dir+"/"+name, []byte(strconv.Itoa(n)), 0)
		}
		if set("memory.max", cap1) == nil {
			set("memory.swap.max", 0) // where there is swap
			return dir
		}
		if set("memory.limit_in_bytes", cap1) == nil {
			set("memory.memsw.limit_in_bytes", cap1)
			return dir
		}
	}
	t.Skip("needs a cgroup with a memory controller, and root, to make one below it")
	return ""
}

func TestMemoryLimitOfACgroup(t *testing.T) {
	dir := cappedCgroup(t)
	disk := t.TempDir()
	var st unix.Statfs_t
	if err := unix.Statfs(disk, &st); err != nil || st.Type == unix.TMPFS_MAGIC {
		disk = "" // what is written there is no cache
	}
	cmd := child(t, "capped", dir, disk)
	var out strings.Builder
	cmd.Stderr = &out
	switch err := cmd.Run(); {
	case killedBy(err):
		t.Error("the OOM killer ended it: ", out.String())
	case strings.Contains(out.String(), "skip: "):
		t.Skip(out.String())
	case err != nil:
		t.Errorf("%v: %s", err, out.String())
	}
}
