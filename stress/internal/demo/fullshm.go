package demo

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"interlock/shm"
)

// cellar says how far a process has come that uses memory it may not get.
type cellar struct {
	Sized   atomic.Uint32 // 1: the call that should reserve the memory has succeeded
	Touched atomic.Int64  // pages
	Length  atomic.Int64
	Text    [400]byte // the error that came instead
	Refused atomic.Uint32
}

const (
	cellarRoom = 64 << 10 // of the file system
	cellarWant = 1 << 20  // of the object
	readWrite  = unix.PROT_READ | unix.PROT_WRITE
)

var fullShm = &Demo{
	Name:  "full-shm",
	Title: "memory that is promised, and not there",
	Live:  "It needs a mount namespace of its own, to have a small file system: root, or unprivileged user namespaces.",
	Story: `/dev/shm is a file system, and small in containers (64 MB by default). Here it is a tmpfs of 64 KiB. A process makes an object of
1 MiB in it: open, ftruncate, mmap. Then it uses it, page by page.`,
	Quiz: Quiz{
		Question: "Where does it fail?",
		Choices:  []string{"in ftruncate: no space", "in mmap: no memory", "in neither"},
		Right:    2,
		Because:  "ftruncate only notes the size. The memory is looked for at the first touch, where no call can return an error.",
	},
	Broken: Version{Name: "ftruncate", Shows: []string{"makeTruncated"}},
	Fixes: []Version{
		{Name: "fallocate", Shows: []string{"makeAllocated"}, About: "fallocate reserves: there is room, or an error."},
		{Name: "shm.OpenFile", Shows: []string{"makeLibrary"}, About: "What our calls do, shm.Create and shm.Share too. The error names the size."},
	},
	Schedule: Schedule{
		Columns: []string{"A", "tmpfs of 16 pages"},
		Rows: [][]string{
			{"ftruncate(1 MiB)", "says yes, has 0 pages in use"},
			{"mmap(1 MiB)", "says yes, 0 pages"},
			{"touches pages 1 to 16", "16 pages: full"},
			{"touches page 17", "SIGBUS"},
		},
	},
	Why: `A sparse file has a size and no blocks. For a file that is written with write(2), "no space" comes back as an error. For memory there
is no call to return it from: the kernel sends SIGBUS, which ends the process in the middle of whatever it was doing, with a lock held
perhaps (P-K5). Many projects have shipped this: UnifyFS (issue 59), mongo-c-driver (pull request 1244), Fast-DDS (1248), and others.`,
	Use: `shm.Create, shm.OpenOrCreate, shm.Share, shm.Memfd, and shm.OpenFile with shm.CreateFile: all reserve. For an object that somebody
else made: the option shm.Populate.`,
	roles: roles{"fill": fill},
	try:   tryFullShm,
}

func makeTruncated(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err == nil {
		err = unix.Ftruncate(fd, cellarWant)
	}
	if err != nil {
		return nil, err
	}
	return unix.Mmap(fd, 0, cellarWant, readWrite, unix.MAP_SHARED)
}

func makeAllocated(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err == nil {
		err = unix.Fallocate(fd, 0, 0, cellarWant)
	}
	if err != nil {
		return nil, err
	}
	return unix.Mmap(fd, 0, cellarWant, readWrite, unix.MAP_SHARED)
}

func makeLibrary(path string) ([]byte, error) {
	seg, err := shm.OpenFile(path, cellarWant, shm.CreateFile)
	if err != nil {
		return nil, err
	}
	return seg.Bytes(), nil
}

// fill has a small file system to itself, makes an object in it and uses it.
func fill(a *Actor) error {
	s := see[cellar](a)
	const dir = "/tmp" // of its own mount namespace: nobody else sees what is mounted
	if err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", cellarRoom)),
	); err != nil {
		s.note(err)
		s.Refused.Store(1)
		return nil
	}
	f := map[string]func(string) ([]byte, error){"ftruncate": makeTruncated, "fallocate": makeAllocated, "shm.OpenFile": makeLibrary}[a.version]
	mem, err := f(dir + "/object")
	if err != nil {
		s.note(err)
		return nil
	}
	s.Sized.Store(1)
	for at := 0; at < len(mem); at += unix.Getpagesize() {
		mem[at] = 1
		s.Touched.Add(1)
	}
	return nil
}

func (s *cellar) note(err error) {
	s.Length.Store(int64(copy(s.Text[:], strings.ReplaceAll(err.Error(), "…", "..."))))
}

func (s *cellar) said() string { return string(s.Text[:s.Length.Load()]) }

func tryFullShm(st *Stage) (*Result, error) {
	s := at[cellar](st)
	st.head.Parties.Store(1)
	if err := st.start("fill", isolated(0)); err != nil {
		return nil, refusal{"No mount namespace is to be had: " + err.Error() + ". Run it as root, or allow unprivileged user namespaces."}
	}
	p := st.procs[0]
	<-p.done
	if s.Refused.Load() != 0 {
		return nil, refusal{"In the mount namespace: " + s.said()}
	}
	r := st.result()
	pages := int64(cellarWant / unix.Getpagesize())
	switch {
	case p.cmd.ProcessState.Success() && s.Sized.Load() == 0:
		r.fact("it was told", "no, before it used anything:")
		r.Notes = append(r.Notes, s.said())
	case p.cmd.ProcessState.Success():
		return nil, fmt.Errorf("%d of %d pages could be used in %d bytes", s.Touched.Load(), pages, cellarRoom)
	default:
		r.Wrong = 1
		r.fact("it was told", "yes, 1 MiB")
		r.fact("pages", pages)
		r.fact("pages used", s.Touched.Load())
		r.fact("then it died", "of "+ending(p))
	}
	return r, nil
}

// ending is what a process died of. Go's runtime turns the signal into a message.
func ending(p *proc) string {
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal().String()
	}
	for _, line := range strings.Split(p.stderr.String(), "\n") {
		if _, name, ok := strings.Cut(line, "[signal "); ok {
			name, _, _ = strings.Cut(name, " code")
			return strings.TrimSuffix(name, ":")
		}
	}
	return p.cmd.ProcessState.String()
}
