package shm

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/layout"
)

// A Kind says what List found.
type Kind uint8

const (
	// KindPOSIX is an object of shm_open: a regular file in /dev/shm.
	KindPOSIX Kind = 1 + iota
	// KindSemaphore is a named semaphore: a regular file in /dev/shm whose
	// name begins with "sem.", as sem_open makes it.
	KindSemaphore
	// KindSysV is a System V segment, of shmget.
	KindSysV
	// KindMemfd is memory with a descriptor and no name in any directory,
	// which some process has mapped. One that is only open is not found.
	KindMemfd
	// KindOther is in /dev/shm and is not memory: a directory, a symbolic
	// link, a FIFO, and what is called .interlock-…: the lock file of an
	// initialiser, or a semaphore that has no name yet; its maker may be dead.
	KindOther
)

func (k Kind) String() string {
	names := [...]string{"unknown", "POSIX", "semaphore", "System V", "memfd", "other"}
	if int(k) < len(names) {
		return names[k]
	}
	return names[0]
}

// An Info is what List knows of one object.
type Info struct {
	Kind Kind

	// Name is the file's name in /dev/shm, as Open and Remove take it, or the
	// label of a memfd; a System V segment has none. It is whatever its maker
	// chose, any bytes but '/' and NUL: print it with %q.
	Name string

	Key Key // of a System V segment; Private is none
	ID  int // of a System V segment, as SysVOpenID takes it

	// Size is in bytes. Of a memfd, and of a removed object, it is what is
	// mapped of it, if the object itself may not be looked at; Mode then is
	// 0, UID and GID are -1, and both times are zero.
	Size int64
	Mode fs.FileMode // permissions, and what kind of file a KindOther is
	UID  int
	GID  int

	// Made is when it was made; zero where the kernel does not keep that, as
	// for System V. Changed is when its size, mode, owner or names last
	// changed. A store into the memory changes neither.
	Made    time.Time
	Changed time.Time

	// Removed: it has no name any more, and goes when its last user goes. For
	// System V it is what ipcs calls dest. Name is then the one it had, or
	// "#" and its inode number where only its maker maps it; so looks an object
	// that is still being made, too.
	Removed bool

	// Maker is the process that made it, as far as that is recorded: always
	// for System V, by Share in its header, otherwise 0. It may have ended.
	Maker int

	// Type describes the T of a segment that Share made, as its header does;
	// "" for all else, and where the header may not be read or is damaged.
	// It is what the maker wrote there, made safe to print.
	Type string

	// Users are the processes that map it now, in order. Unknown is how many
	// others could not be asked, and may map it too: processes of other users
	// if this one is not privileged. Where /proc hides processes altogether
	// (hidepid), they are in neither.
	Users   []int
	Unknown int

	// Attached is System V's own count of attachments, which also has the
	// processes that cannot be seen; one that attached twice counts twice.
	Attached int
}

// Age is the time since it was made or, where the kernel does not keep that,
// since it was last changed; 0 if neither is known.
func (i *Info) Age() time.Duration {
	since := i.Made
	if since.IsZero() {
		since = i.Changed
	}
	if since.IsZero() {
		return 0
	}
	return max(0, time.Since(since))
}

// List tells what shared memory there is and who uses it: what is in
// /dev/shm, every System V segment, every memfd that a process has mapped,
// and objects that were removed and are still mapped. It is ls -l /dev/shm and
// ipcs -m, and who maps each, for all users.
//
// It changes nothing, maps nothing, and follows nothing: what strangers put
// into /dev/shm neither stops it nor makes it wait. It reads every process's
// maps once, whatever the number of objects.
//
// The answer is put together from many looks: an object or process that came
// or went meanwhile may be in it or not. The order is by Kind, then Name and
// ID.
//
// Errors: those of reading /dev/shm and /proc. Where there is no /dev/shm, or
// no System V memory, there are no such objects, and that is no error.
func List() ([]Info, error) {
	l := lister{files: map[string]*Info{}, sysv: map[int]*Info{}, nameless: map[string]*Info{}}
	for _, look := range []func() error{l.directory, l.segments, l.processes} {
		if err := look(); err != nil {
			return nil, fmt.Errorf("shm.List: %w", err)
		}
	}
	list := make([]Info, len(l.all))
	for i, info := range l.all {
		list[i] = *info
		list[i].Unknown = l.unknown
		slices.Sort(list[i].Users)
	}
	slices.SortFunc(list, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return list, nil
}

// A lister collects what List returns.
type lister struct {
	all      []*Info
	files    map[string]*Info // by device and inode as in /proc/PID/maps: what has a name in /dev/shm
	sysv     map[int]*Info    // by ID
	nameless map[string]*Info // by device, inode and path: memfds and removed objects
	device   string           // of /dev/shm, as in /proc/PID/maps
	unknown  int              // processes that we may not look at
}

func (l *lister) add(info *Info) *Info {
	l.all = append(l.all, info)
	return info
}

// directory looks at all that has a name in /dev/shm.
func (l *lister) directory() error {
	entries, err := os.ReadDir(shmDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if s, err := lookAt(unix.AT_FDCWD, shmDir, 0); err == nil {
		l.device = s.device
	}
	for _, e := range entries {
		l.file(e.Name())
	}
	return nil
}

// file looks at one name; one that cannot be looked at is gone again.
//
// O_PATH opens anything, a symbolic link itself, without effects: a FIFO's
// writer does not wake up, a device does not notice.
func (l *lister) file(name string) {
	f, err := openFd(shmDir+"/"+name, unix.O_PATH, 0)
	if err != nil {
		return
	}
	defer f.Close()
	s, err := lookAt(int(f.Fd()), "", unix.AT_EMPTY_PATH)
	if err != nil || s.links == 0 && !s.info.Mode.IsDir() {
		return
	}
	info := l.add(&s.info)
	info.Name = name
	l.files[s.where()] = info
	switch {
	case !info.Mode.IsRegular(), strings.HasPrefix(name, reserved):
		info.Kind = KindOther
	case strings.HasPrefix(name, "sem."):
		info.Kind = KindSemaphore
	default:
		info.Kind = KindPOSIX
		if h := readHeader(f, info.Size); h != nil {
			info.Type, info.Maker = h.Description, int(h.Maker)
		}
	}
}

// readHeader reads the header of the regular file that f, opened with O_PATH,
// stands for; nil if there is no valid one, or it may not be read. It reads a
// copy: a mapping could be cut short under our hands. O_NONBLOCK, for a file
// with a lease would be waited for.
func readHeader(f *os.File, size int64) *layout.Header {
	if size < layout.PayloadOffset {
		return nil
	}
	fd, err := again(func() (int, error) {
		return unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var b [layout.PayloadOffset]byte
	n, err := again(func() (int, error) { return unix.Pread(fd, b[:], 0) })
	if err != nil {
		return nil
	}
	h, err := layout.Decode(b[:n], size)
	if err != nil {
		return nil
	}
	return h
}
