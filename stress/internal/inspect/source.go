package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"interlock/shm"
	"interlock/stress/internal/procfs"
)

// A Source is shared memory to look at.
type Source struct {
	Name   string // as it was asked for
	Kind   string // what it is, in words
	Size   int64
	Where  string // device and inode as in /proc/PID/maps, "" if unknown
	Remove string // the command that removes it, "" if it has no name

	ipc   bool // a System V segment: the same number may be another in another IPC namespace
	from  io.ReaderAt
	close func() error
}

// ReadAt copies from the memory as it is now.
func (s *Source) ReadAt(b []byte, off int64) (int, error) { return s.from.ReadAt(b, off) }

// Close lets go of it.
func (s *Source) Close() error { return s.close() }

// A RightError says which right is missing to look at something.
type RightError struct {
	What string
	Need string
	Err  error
}

func (e *RightError) Error() string { return fmt.Sprintf("%s: %v; %s", e.What, e.Err, e.Need) }
func (e *RightError) Unwrap() error { return e.Err }

// refused adds to an error of permission what would help.
func refused(what, need string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &RightError{what, need, err}
	}
	return fmt.Errorf("%s: %w", what, err)
}

const shmDir = "/dev/shm"

// Open finds what a person calls WHAT: a segment's name, a path, /proc/PID/fd/N, or
// sysv:ID (in decimal, as ipcs has it) or sysv:KEY (in hexadecimal).
func Open(what string) (*Source, error) {
	if id, ok := strings.CutPrefix(what, "sysv:"); ok {
		return openSysV(what, id)
	}
	var first error
	for _, path := range paths(what) {
		s, err := openFile(what, path)
		if err == nil {
			return s, nil
		}
		if first == nil || errors.Is(first, fs.ErrNotExist) && !errors.Is(err, fs.ErrNotExist) {
			first = err
		}
	}
	if errors.Is(first, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w; stress inspect without a name lists what there is", what, fs.ErrNotExist)
	}
	return nil, first
}

// paths are what a name may mean, the likeliest first.
func paths(what string) []string {
	name := strings.TrimPrefix(what, "/")
	plain := name != "" && !strings.Contains(name, "/") && name != "." && name != ".."
	switch {
	case plain && name != what:
		return []string{filepath.Join(shmDir, name), filepath.Join(shmDir, "sem."+name), what}
	case plain:
		return []string{filepath.Join(shmDir, name), filepath.Join(shmDir, "sem."+name), "./" + name}
	}
	return []string{what}
}

// openFile opens a regular file, a memfd among them. It looks before it opens: to open
// a FIFO or a device would be noticed there.
func openFile(what, path string) (*Source, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, refused(path, "the same user may, or root", err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s: it is no memory that is shared, and no file that can be mapped", path)
	}
	// O_NONBLOCK, because a file with a lease would be waited for.
	in, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, refused(path, fmt.Sprintf("read permission is missing: its mode is %#o, its owner user %d; or root", st.Mode&0o777, st.Uid), err)
	}
	f := os.NewFile(uintptr(in), path)
	s := &Source{Name: what, Kind: "file", Size: st.Size, Where: whereOf(f, &st), from: f, close: f.Close}
	name, inShm := strings.CutPrefix(path, shmDir+"/")
	link, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", in))
	switch {
	case strings.HasPrefix(link, "/memfd:"):
		s.Kind = "memfd " + strconv.Quote(strings.TrimSuffix(strings.TrimPrefix(link, "/memfd:"), " (deleted)"))
	case inShm && strings.HasPrefix(name, "sem."):
		s.Kind, s.Remove = "named semaphore", "rm "+path
	case inShm:
		s.Kind, s.Remove = "POSIX segment", "rm "+path
	}
	return s, nil
}

// whereOf is how /proc/PID/maps names a file. On most file systems that is what stat
// says; overlays and some others show mappings of a file beneath, so there our own
// mapping, which is never touched, is looked up.
func whereOf(f *os.File, st *unix.Stat_t) string {
	where := statWhere(st)
	var sys unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &sys); err == nil && (sys.Type == unix.TMPFS_MAGIC || sys.Type == unix.HUGETLBFS_MAGIC) {
		return where
	}
	page, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return where
	}
	defer func() { _ = unix.Munmap(page) }()
	maps, _ := procfs.Maps(os.Getpid())
	at := addressOf(page)
	for _, m := range maps {
		if m.Lo <= at && at < m.Hi {
			return m.Where
		}
	}
	return where
}

func statWhere(st *unix.Stat_t) string {
	return fmt.Sprintf("%02x:%02x %d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
}

// openSysV attaches a System V segment read-only, copies it and detaches it again:
// there is no other way to its bytes.
func openSysV(what, number string) (*Source, error) {
	id, err := sysvID(number)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	seg, err := shm.SysVOpenID(id, shm.ReadOnly)
	if err != nil {
		return nil, refused(what, "ipcs -m shows whose it is and its permissions; the same user may read it, or root", err)
	}
	s := &Source{Name: what, Kind: "System V segment", Size: seg.Size(), Remove: fmt.Sprintf("ipcrm -m %d", id), ipc: true}
	at := addressOf(seg.Bytes())
	maps, _ := procfs.Maps(os.Getpid())
	for _, m := range maps {
		if m.Lo <= at && at < m.Hi {
			s.Where = m.Where
		}
	}
	s.from, s.close = bytes.NewReader(seg.Bytes()), seg.Close
	return s, nil
}

func sysvID(number string) (int, error) {
	if strings.HasPrefix(number, "0x") {
		key, err := strconv.ParseUint(number, 0, 32)
		if err != nil {
			return 0, fmt.Errorf("%s is no key", number)
		}
		return shm.SysVID(shm.Key(key))
	}
	id, err := strconv.Atoi(number)
	if err != nil {
		return 0, fmt.Errorf("%s is no identifier; ipcs -m lists them", number)
	}
	return id, nil
}

// Everything is every object of this module that has a name: what Share made, and the
// named semaphores. Others, of which nothing is known, are left out.
func Everything() ([]*Source, error) {
	all, err := shm.List()
	if err != nil {
		return nil, err
	}
	var list []*Source
	for _, info := range all {
		known := info.Kind == shm.KindPOSIX && info.Type != "" || info.Kind == shm.KindSemaphore
		if !known || info.Removed {
			continue
		}
		if s, err := Open(filepath.Join(shmDir, info.Name)); err == nil { // else it is gone since
			list = append(list, s)
		}
	}
	return list, nil
}
