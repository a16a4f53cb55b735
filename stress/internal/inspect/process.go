package inspect

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/procfs"
)

// OfProcess finds the shared memory that a process maps: all of it that can be
// written, or is memory without a disk behind it.
func OfProcess(pid int) ([]*Source, error) {
	maps, err := procfs.Maps(pid)
	if err != nil {
		return nil, refused(fmt.Sprintf("process %d", pid), "what a process maps is shown to its own user, and to root (CAP_SYS_PTRACE)", err)
	}
	if len(maps) == 0 {
		return nil, fmt.Errorf("process %d has no memory: a zombie, or a thread of the kernel", pid)
	}
	objects := map[string][]procfs.Mapping{}
	var order []string
	for _, m := range maps {
		if !m.Shared || !m.Write && !hasNoDisk(m.Path) || strings.HasPrefix(m.Path, "anon_inode:") {
			continue
		}
		if objects[m.Where] == nil {
			order = append(order, m.Where)
		}
		objects[m.Where] = append(objects[m.Where], m)
	}
	var list []*Source
	for _, where := range order {
		s, err := openMapping(pid, where, objects[where])
		if err != nil {
			CloseAll(list)
			return nil, err
		}
		if s != nil {
			list = append(list, s)
		}
	}
	return list, nil
}

func hasNoDisk(path string) bool {
	for _, prefix := range []string{shmDir + "/", "/memfd:", "/SYSV", "/dev/zero"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// CloseAll closes sources that are no longer looked at.
func CloseAll(list []*Source) {
	for _, s := range list {
		_ = s.Close()
	}
}

// openMapping opens what a process has mapped, by whichever way is allowed: the
// mapping itself (root), its path, a descriptor of that process (the same user), its
// memory (who may trace it). A device, which is no memory, gives neither.
func openMapping(pid int, where string, maps []procfs.Mapping) (*Source, error) {
	path, gone := strings.CutSuffix(maps[0].Path, " (deleted)")
	ways := []string{fmt.Sprintf("/proc/%d/map_files/%x-%x", pid, maps[0].Lo, maps[0].Hi)}
	if !gone {
		ways = append(ways, path)
	}
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == maps[0].Path {
			ways = append(ways, fd)
		}
	}
	name := maps[0].Path
	if name == "" {
		name = "without a name"
	}
	for _, way := range ways {
		if s, err := openFile(name, way); err == nil {
			if s.Where == where {
				s.describe(path, gone)
				s.findName()
				return s, nil
			}
			_ = s.Close()
		}
	}
	return openMemory(pid, name, where, maps)
}

// describe says what an object is whose path is known from a mapping.
func (s *Source) describe(path string, gone bool) {
	name, inShm := strings.CutPrefix(path, shmDir+"/")
	s.ipc = strings.HasPrefix(path, "/SYSV")
	switch {
	case s.ipc:
		s.Kind = "System V segment"
	case gone && inShm:
		s.Kind = "POSIX segment, removed"
	case path == "/dev/zero":
		s.Kind = "anonymous shared memory"
	case inShm && strings.HasPrefix(name, "sem."):
		s.Kind, s.Remove = "named semaphore", "rm "+path
	case inShm:
		s.Kind, s.Remove = "POSIX segment", "rm "+path
	}
}

// findName looks for the name in /dev/shm of an object that seems to have none: who
// made it before it had one sees it without a name ever after.
func (s *Source) findName() {
	if s.Remove != "" || s.ipc || s.Kind != "POSIX segment, removed" {
		return
	}
	entries, _ := os.ReadDir(shmDir)
	for _, e := range entries {
		path := filepath.Join(shmDir, e.Name())
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil && statWhere(&st) == s.Where {
			s.Name = path
			s.describe(path, false)
			return
		}
	}
}

// openMemory reads through the process's own memory.
func openMemory(pid int, name, where string, maps []procfs.Mapping) (*Source, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return nil, refused(fmt.Sprintf("%s of process %d", name, pid),
			"to read another process's memory one must be allowed to trace it: the same user where kernel.yama.ptrace_scope is 0, or root (CAP_SYS_PTRACE)", err)
	}
	s := &Source{Name: name, Kind: "shared memory", Where: where, close: f.Close}
	window := &window{mem: f, maps: maps}
	for _, m := range maps {
		s.Size = max(s.Size, int64(m.Offset+(m.Hi-m.Lo)))
	}
	s.from = window
	s.describe(strings.TrimSuffix(maps[0].Path, " (deleted)"), strings.HasSuffix(maps[0].Path, " (deleted)"))
	var probe [1]byte
	if _, err := window.ReadAt(probe[:], int64(maps[0].Offset)); errors.Is(err, unix.EIO) {
		f.Close() // a device's registers, or a page that is gone
		return nil, nil
	}
	return s, nil
}

// A window reads an object through the mappings that a process has of it.
type window struct {
	mem  io.ReaderAt
	maps []procfs.Mapping
}

func (w *window) ReadAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		at := uint64(off) + uint64(n)
		i := slices.IndexFunc(w.maps, func(m procfs.Mapping) bool { return m.Offset <= at && at-m.Offset < m.Hi-m.Lo })
		if i < 0 {
			return n, io.EOF
		}
		m := w.maps[i]
		part := b[n : n+int(min(uint64(len(b)-n), m.Hi-m.Lo-(at-m.Offset)))]
		k, err := w.mem.ReadAt(part, int64(m.Lo+(at-m.Offset)))
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// AtAddresses tells in which object, and where in it, the places lie whose offsets are
// addresses of a process. Each object gets those that are in it.
func AtAddresses(pid int, places []Place, list []*Source) (map[*Source][]Place, error) {
	maps, err := procfs.Maps(pid)
	if err != nil {
		return nil, err
	}
	found := map[*Source][]Place{}
	for _, p := range places {
		at := uint64(p.Off)
		i := slices.IndexFunc(maps, func(m procfs.Mapping) bool { return m.Lo <= at && at < m.Hi })
		if i < 0 {
			return nil, fmt.Errorf("process %d has nothing mapped at %#x; /proc/%d/maps shows what it has", pid, at, pid)
		}
		m := maps[i]
		j := slices.IndexFunc(list, func(s *Source) bool { return s.Where == m.Where })
		if j < 0 {
			return nil, fmt.Errorf("what process %d has at %#x (%s) is not shared, or cannot be read", pid, at, strconv.Quote(m.Path))
		}
		p.Off = int64(m.Offset + (at - m.Lo))
		found[list[j]] = append(found[list[j]], p)
	}
	return found, nil
}
