package shm

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"interlock/internal/region"
)

// ErrAddress: a System V segment cannot be attached at the address that was
// asked for, because something else lies there, or nothing may. Attach it
// without AtAddress, and keep offsets instead of addresses in the memory.
var ErrAddress error = &kind{"the address cannot be used", nil}

// sysvAttach maps all of the segment with this identifier, as c asks.
func sysvAttach(id int, key Key, c *config) (*Segment, error) {
	flags := 0
	if c.readOnly {
		flags |= unix.SHM_RDONLY
	}
	if c.round {
		flags |= unix.SHM_RND
	}
	// Never SHM_REMAP: it would pull other memory, Go's own even, from under
	// whoever uses it.
	mem, err := unix.SysvShmAttach(id, c.addr, flags)
	if err != nil {
		return nil, explainAttach(id, c, err)
	}
	if err := c.prepare(mem); err != nil {
		return nil, errors.Join(err, unix.SysvShmDetach(mem))
	}
	region.Mapped(span(mem))
	if c.readOnly {
		region.AddReadOnly(span(mem))
	}
	label := fmt.Sprint("System V segment ", id)
	if key != Private {
		label += " with key " + key.String()
	}
	return &Segment{mem: mem, size: int64(len(mem)), label: label, ro: c.readOnly, isSysV: true, shmid: id}, nil
}

// letGo undoes the mapping, and closes the descriptor if there is one.
func (s *Segment) letGo(mem []byte, file *os.File) error {
	if s.isSysV {
		return unix.SysvShmDetach(mem)
	}
	return errors.Join(unmapFile(mem, file), file.Close())
}

// removedSysV is removed for a System V segment.
func (s *Segment) removedSysV(op string) error {
	info, err := statOrList(s.shmid)
	if err != nil {
		return fmt.Errorf("shm: %s %s: %w", op, s.label, err)
	}
	if info.Removed {
		return fmt.Errorf("shm: %s %s: %w; close it and open or create it again", op, s.label, ErrRemoved)
	}
	return nil
}

// explainAttach says why shmat refused. It answers EINVAL for an identifier
// that names nothing as well as for an address.
func explainAttach(id int, c *config, err error) error {
	info, statErr := statOrList(id)
	switch {
	case errors.Is(statErr, ErrNotExist):
		return noSysV(id)
	case err == unix.EACCES:
		return deniedSysV(id, err, c.readOnly)
	case c.addrGiven && (err == unix.EINVAL || err == unix.ENOMEM || err == unix.EPERM):
		return badAddress(c, max(1, info.Size), err)
	case err == unix.ENOMEM:
		return fmt.Errorf("cannot attach id %d: %w; see ulimit -v and /proc/sys/vm/max_map_count", id, err)
	}
	return fmt.Errorf("cannot attach id %d: %w", id, unsupported(err))
}

// badAddress says what is in the way at the address that was asked for.
func badAddress(c *config, size int64, err error) error {
	at := c.addr
	if c.round {
		at -= at % uintptr(os.Getpagesize())
	}
	return fmt.Errorf("%w: %d bytes at %#x: %w; %s", ErrAddress, size, at, err, inTheWay(at, at+uintptr(size)))
}

// inTheWay names the first mapping of this process that overlaps [lo, hi).
func inTheWay(lo, hi uintptr) string {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return "see /proc/self/maps"
	}
	for line := range strings.Lines(string(text)) {
		var from, to uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 && from < hi && lo < to {
			what := "memory without a name"
			if f := strings.Fields(line); len(f) > 5 {
				what = strings.Join(f[5:], " ")
			}
			return fmt.Sprintf("%#x to %#x is in use by %s", from, to, what)
		}
	}
	return "nothing lies there, but the kernel forbids it: below vm.mmap_min_addr, beyond the last address, over ulimit -v, or within a huge page"
}
