package shm

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// This file asks the cgroups of this process what memory they leave: a container
// has its limit there, and what goes beyond it is not refused, it is answered by
// the OOM killer.

// noLimit is more than any machine has; two of it can be added.
const noLimit = math.MaxInt64 / 4

// An overLimit says which limit is in the way. It is ENOMEM.
type overLimit struct {
	dir         string // the cgroup
	limit, left int64
}

func (e *overLimit) Error() string {
	return fmt.Sprintf("%v: the memory limit of the cgroup %s is %d bytes, and leaves %d of them", unix.ENOMEM, e.dir, e.limit, max(e.left, 0))
}

func (e *overLimit) Unwrap() error { return unix.ENOMEM }

// withinCgroups refuses what certainly does not fit into one of this process's
// memory cgroups. What of them cannot be seen has no limit.
func withinCgroups(size, swap int64) error {
	own, err1 := os.ReadFile("/proc/self/cgroup")
	mounts, err2 := os.ReadFile("/proc/self/mountinfo")
	if err1 != nil || err2 != nil {
		return nil
	}
	for _, dir := range memoryCgroups(string(own), string(mounts)) {
		if limit, left := cgroupLeft(dir, size, swap); size > left {
			return &overLimit{dir, limit, left}
		}
	}
	return nil
}

// memoryCgroups are the directories of the memory cgroup that a process is in,
// and of those above it as far as they are mounted. Lines of /proc/PID/cgroup and
// of mountinfo look so; version 2 has one cgroup for all controllers, and the
// second and third word here empty and cgroup2:
//
//	4:memory:/docker/9c0e
//	35 31 0:32 /docker /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
func memoryCgroups(own, mounts string) (dirs []string) {
	paths := map[string]string{} // by type of file system
	for line := range strings.Lines(own) {
		w := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		switch {
		case len(w) < 3 || strings.Contains(w[2], "/.."): // above what our namespace shows
		case w[1] == "":
			paths["cgroup2"] = w[2]
		case slices.Contains(strings.Split(w[1], ","), "memory"):
			paths["cgroup"] = w[2]
		}
	}
	for line := range strings.Lines(mounts) {
		place, what, _ := strings.Cut(line, " - ")
		p, w := strings.Fields(place), strings.Fields(what)
		if len(p) < 5 || len(w) < 3 || w[0] == "cgroup" && !slices.Contains(strings.Split(w[2], ","), "memory") {
			continue
		}
		path, ok := paths[w[0]]
		root := strings.TrimSuffix(p[3], "/")
		if rel, below := strings.CutPrefix(path+"/", root+"/"); ok && below {
			top := filepath.Clean(p[4])
			dir := filepath.Join(top, rel)
			for ; len(dir) > len(top); dir = filepath.Dir(dir) {
				dirs = append(dirs, dir)
			}
			dirs = append(dirs, top)
		}
	}
	return dirs
}

// cgroupLeft is what a cgroup leaves of its limit, and that limit. Where size
// seems not to fit, what the kernel would give up first, the page cache above all,
// counts as left: to know how much that is takes the kernel a while.
func cgroupLeft(dir string, size, swap int64) (limit, left int64) {
	cached := func(words ...string) int64 {
		if size <= left {
			return 0
		}
		b, _ := os.ReadFile(dir + "/memory.stat")
		return sumOf(string(b), words...)
	}
	limit, left = headroom(dir, "memory.max", "memory.current")
	if limit < noLimit { // version 2 counts swap by itself
		_, more := headroom(dir, "memory.swap.max", "memory.swap.current")
		left += min(swap, more)
		return limit, left + cached("inactive_file", "active_file", "slab_reclaimable")
	}
	// Version 1 counts memory, and memory and swap together.
	limit, left = headroom(dir, "memory.limit_in_bytes", "memory.usage_in_bytes")
	both, leftOfBoth := headroom(dir, "memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes")
	if left += swap; leftOfBoth < left {
		limit, left = both, leftOfBoth
	}
	return limit, left + cached("total_inactive_file", "total_active_file")
}

// headroom is a limit and what is not used of it.
func headroom(dir, limitFile, usageFile string) (limit, left int64) {
	read := func(name string) (int64, error) {
		b, err := os.ReadFile(dir + "/" + name)
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	}
	limit, err1 := read(limitFile) // "max" is no number
	used, err2 := read(usageFile)
	if err1 != nil || err2 != nil || limit > noLimit {
		return noLimit, noLimit
	}
	return limit, limit - used
}
