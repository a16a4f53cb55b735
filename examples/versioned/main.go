// Versioned keeps a setting in a mapped file: it survives a restart of the
// machine, and every process sees a change at once.
//
//	go run ./examples/versioned FILE "some text"   change it
//	go run ./examples/versioned FILE               print it
//	go run ./examples/versioned FILE -watch        print every change
//
// A change goes into the older of two copies and onto the disk, and counts by its
// version and checksum. Who dies in the midst of one, a process or the machine,
// leaves the other copy as it was.
//
// The lock is not in the file: after a restart it would name a process that is long
// gone, or a stranger that has its number now. It is in shared memory, which each
// start of the machine makes anew.
package main

import (
	"context"
	"fmt"
	"hash/crc32"
	"log"
	"os"
	"syscall"

	"interlock/condvar"
	"interlock/mutex"
	"interlock/shm"
)

// A Setting is what the file holds. The newer copy that is whole counts.
type Setting struct{ Copies [2]Copy }

type Copy struct {
	Version uint64 // from 1; odd in one copy, even in the other
	Sum     uint32
	Len     uint32
	Text    [240]byte
}

// Live is in shared memory.
type Live struct {
	Mu      mutex.Mutex
	Changed condvar.Cond
}

func main() {
	var err error
	switch {
	case len(os.Args) == 2:
		err = with(os.Args[1], shm.ReadOnly, show)
	case len(os.Args) == 3 && os.Args[2] == "-watch":
		err = with(os.Args[1], shm.ReadOnly, watch)
	case len(os.Args) == 3:
		err = with(os.Args[1], shm.CreateFile, change)
	default:
		err = fmt.Errorf("usage: versioned FILE [TEXT | -watch]")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// with maps the file and does something with it under the lock.
func with(path string, option shm.Option, do func(*shm.Segment, *Setting, *Live) error) error {
	file, err := shm.OpenFile(path, 4096, option)
	if err != nil {
		return err
	}
	defer file.Close()
	setting, err := shm.At[Setting](file.Bytes(), 0)
	if err != nil {
		return err
	}
	var st syscall.Stat_t
	if err := syscall.Fstat(int(file.File().Fd()), &st); err != nil {
		return err
	}
	live, seg, err := shm.Share[Live](context.Background(), fmt.Sprintf("/versioned-%d-%d", st.Dev, st.Ino), nil)
	if err != nil {
		return err
	}
	defer seg.Close()
	live.Mu.OnOwnerDeath(func(int) error { return nil }) // half a change does not count
	live.Mu.Lock()
	defer live.Mu.Unlock()
	return do(file, setting, live)
}

func change(file *shm.Segment, s *Setting, live *Live) error {
	version := s.latest().Version + 1
	c := &s.Copies[version%2]
	c.Version = version
	c.Len = uint32(copy(c.Text[:], os.Args[2]))
	c.Sum = c.checksum()
	live.Changed.Broadcast()
	return file.Sync() // on the disk when this returns nil
}

func show(_ *shm.Segment, s *Setting, _ *Live) error {
	c := s.latest()
	fmt.Printf("version %d: %s\n", c.Version, c.Text[:c.Len])
	return nil
}

func watch(file *shm.Segment, s *Setting, live *Live) error {
	for seen := uint64(0); ; live.Changed.Wait(&live.Mu) {
		if v := s.latest().Version; v != seen {
			seen = v
			show(file, s, live)
		}
	}
}

// latest returns the newer copy that is whole, an empty one if there is none.
func (s *Setting) latest() *Copy {
	newest := &Copy{}
	for i := range s.Copies {
		if c := &s.Copies[i]; c.Version > newest.Version && c.Len <= uint32(len(c.Text)) && c.Sum == c.checksum() {
			newest = c
		}
	}
	return newest
}

func (c *Copy) checksum() uint32 {
	return crc32.ChecksumIEEE(fmt.Appendf(nil, "%d %q", c.Version, c.Text[:min(c.Len, uint32(len(c.Text)))]))
}
