package shm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// processes asks every process once what it maps.
func (l *lister) processes() error {
	proc, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return err
	}
	p := looker{lister: l, lines: bufio.NewReaderSize(nil, 16<<10), ipc: ipcNamespace("self"), sysvDevices: sync.OnceValue(sysvDevices)}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			p.process(pid)
		}
	}
	return nil
}

// A looker goes through the processes, one at a time.
type looker struct {
	*lister
	lines *bufio.Reader
	ipc   string // our IPC namespace

	sysvDevices func() map[string]bool

	pid     int
	thread  string // the directory that has the maps
	foreign int    // is this process's IPC namespace another: 1 yes, -1 no, 0 not asked yet
}

func (p *looker) process(pid int) {
	p.pid, p.foreign = pid, 0
	own := strconv.Itoa(pid)
	p.thread = "/proc/" + own
	n, err := p.maps()
	if n > 0 || err != nil {
		if err != nil && !isGone(err) { // what has no memory lets anybody ask
			p.unknown++
		}
		return
	}
	// Nothing mapped: a thread of the kernel, a zombie, or a program whose
	// first thread has ended while others run, which have it all.
	threads, _ := os.ReadDir("/proc/" + own + "/task")
	for _, t := range threads {
		p.thread = "/proc/" + own + "/task/" + t.Name()
		if t.Name() != own && err == nil && n == 0 {
			n, err = p.maps()
		}
	}
}

// maps reads the maps of p.thread and returns how many bytes they had.
func (p *looker) maps() (n int, err error) {
	f, err := os.Open(p.thread + "/maps")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	p.lines.Reset(f)
	for tooLong := false; ; {
		// A line longer than the buffer has a path longer than any of ours. It
		// is left out, to its end: that may look like a line of its own.
		line, err := p.lines.ReadSlice('\n')
		if err == nil && !tooLong {
			p.mapping(line)
		}
		n += len(line)
		switch tooLong = err == bufio.ErrBufferFull; {
		case err == io.EOF:
			return n, nil
		case err != nil && !tooLong:
			return n, err
		}
	}
}

// isGone: the process ended before, or while, we looked.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// What the kernel appends to the path of a file that has no name.
const deleted = " (deleted)"

// mapping understands a line of /proc/PID/maps:
//
//	7f0c1a000000-7f0c1a001000 rw-s 00000000 00:1a 1234            /dev/shm/hello
func (p *looker) mapping(line []byte) {
	span, rest, ok1 := bytes.Cut(line, []byte(" "))
	_, rest, ok2 := bytes.Cut(rest, []byte(" ")) // permissions: a private mapping is one too
	offset, rest, ok3 := bytes.Cut(rest, []byte(" "))
	dev := bytes.IndexByte(rest, ' ')
	if !ok1 || !ok2 || !ok3 || dev < 0 {
		return
	}
	ino := bytes.IndexByte(rest[dev+1:], ' ')
	if ino < 0 {
		return // an anonymous one of an old kernel
	}
	where := rest[:dev+1+ino] // device and inode: its maker sees no name (P-K22)
	if info := p.files[string(where)]; info != nil {
		info.usedBy(p.pid)
		return
	}
	path := bytes.Trim(rest[dev+1+ino:], " \n")
	if !bytes.HasSuffix(path, []byte(deleted)) {
		return
	}
	switch path := string(bytes.TrimSuffix(path, []byte(deleted))); {
	case strings.HasPrefix(path, "/SYSV"):
		p.attachment(path, string(where[:dev]), string(where[dev+1:]))
	case strings.HasPrefix(path, "/memfd:"):
		p.nameFree(KindMemfd, strings.TrimPrefix(path, "/memfd:"), string(where), span, offset)
	case strings.HasPrefix(path, shmDir+"/") && string(where[:dev]) == p.device:
		p.nameFree(KindPOSIX, strings.TrimPrefix(path, shmDir+"/"), string(where), span, offset)
	}
}

func (i *Info) usedBy(pid int) {
	if n := len(i.Users); n == 0 || i.Users[n-1] != pid {
		i.Users = append(i.Users, pid)
	}
}

// attachment is a mapping of a System V segment. Its inode is the segment's ID,
// and its path has the key that it was made with, also after it was removed and
// has none any more; both may be the same in another IPC namespace, and, on
// another device, of a file that somebody made to look so.
func (p *looker) attachment(path, device, inode string) {
	id, err := strconv.Atoi(inode)
	info := p.sysv[id]
	if err != nil || info == nil || !info.Removed && path != fmt.Sprintf("/SYSV%08x", uint32(info.Key)) {
		return
	}
	if known := p.sysvDevices(); known != nil && !known[device] {
		return
	}
	if p.foreign == 0 {
		p.foreign = 1
		if ns := ipcNamespace(strconv.Itoa(p.pid)); ns == p.ipc || ns == "" {
			p.foreign = -1
		}
	}
	if p.foreign < 0 {
		info.usedBy(p.pid)
	}
}

// sysvDevices are the devices that the kernel keeps System V segments on, as in
// /proc/PID/maps: those of memfds, of small pages and of each size of huge ones.
// Nobody can mount them. nil: they cannot be known.
func sysvDevices() map[string]bool {
	flags := []int{0, unix.MFD_HUGETLB}
	sizes, _ := os.ReadDir("/sys/kernel/mm/hugepages")
	for _, e := range sizes {
		var kib uint64
		if n, _ := fmt.Sscanf(e.Name(), "hugepages-%dkB", &kib); n == 1 {
			flags = append(flags, unix.MFD_HUGETLB|(bits.Len64(kib<<10)-1)<<unix.MFD_HUGE_SHIFT)
		}
	}
	devices := map[string]bool{}
	for i, flag := range flags {
		f, err := memfd("device", flag)
		switch {
		case err != nil && i == 0:
			return nil
		case err != nil:
			continue
		}
		if st, err := fstat(f); err == nil {
			devices[device(unix.Major(st.Dev), unix.Minor(st.Dev))] = true
		}
		f.Close()
	}
	return devices
}

func ipcNamespace(pid string) string {
	ns, _ := os.Readlink("/proc/" + pid + "/ns/ipc")
	return ns
}

// nameFree is a mapping of a memfd, or of a removed object. The inode numbers
// of memfds are not unique: System V segments have theirs on the same device.
func (p *looker) nameFree(kind Kind, name, where string, span, offset []byte) {
	key := where
	if kind == KindMemfd {
		key += " " + name
	}
	info := p.nameless[key]
	if info == nil {
		info = &Info{UID: -1, GID: -1}
		// Only a privileged process may; what others see is its mappings.
		if s, err := lookAt(unix.AT_FDCWD, p.thread+"/map_files/"+string(span), 0); err == nil && s.where() == where {
			*info = s.info
		}
		info.Kind, info.Name, info.Removed = kind, name, kind != KindMemfd
		p.nameless[key] = p.add(info)
	}
	// Who made it without a name, and gave it one later, sees it as "#INODE"
	// ever after; who opened it by its name knows that.
	if strings.HasPrefix(info.Name, "#") {
		info.Name = name
	}
	if info.Removed && strings.HasPrefix(info.Name, "sem.") {
		info.Kind = KindSemaphore
	}
	info.usedBy(p.pid)
	if info.UID < 0 {
		info.Size = max(info.Size, extent(span, offset))
	}
}

// extent is where a mapping ends in its file.
func extent(span, offset []byte) int64 {
	lo, hi, _ := strings.Cut(string(span), "-")
	a, err1 := strconv.ParseUint(lo, 16, 64)
	b, err2 := strconv.ParseUint(hi, 16, 64)
	at, err3 := strconv.ParseUint(string(offset), 16, 64)
	if errors.Join(err1, err2, err3) != nil || b < a {
		return 0
	}
	return int64(at + (b - a))
}
