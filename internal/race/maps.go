//go:build race

package race

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A place is where a byte lies, whatever address it is mapped at.
type place struct {
	file   string // what is mapped; "" for memory that only its address names
	offset uint64 // in it, or the address
}

// A span is a stretch of memory, [lo, hi), that one thing is mapped at.
type span struct {
	lo, hi uintptr
	start  place // of lo
}

func (s span) has(addr uintptr) bool { return s.lo <= addr && addr < s.hi }

func (s span) place(addr uintptr) place {
	return place{s.start.file, s.start.offset + uint64(addr-s.lo)}
}

var pageSize = uintptr(os.Getpagesize())

// mapping asks the kernel what is mapped at addr. It is not ok if nothing is, or
// if the kernel does not tell.
func mapping(addr uintptr) (s span, ok bool) {
	text, found := readMaps(), ""
	for text != "" && !s.has(addr) {
		found, text, _ = strings.Cut(text, "\n")
		s.lo, s.hi = bounds(found)
	}
	if !s.has(addr) {
		return span{}, false
	}
	s.start = start(found)
	if s.start.file == "" {
		// Private memory comes and goes, and Forget is not called for it: no more
		// is believed of it than must be to know a table of locks.
		page := addr &^ (pageSize - 1)
		s = span{lo: page, hi: page + pageSize, start: place{offset: uint64(page)}}
	}
	return s, true
}

// bounds reads the beginning of a line of /proc/self/maps, and start the rest:
//
//	7f5d1c200000-7f5d1c204000 rw-s 00001000 00:01 2057     /memfd:example (deleted)
//
// Device and inode name what is mapped: files, memfds and shared anonymous memory
// (/dev/zero) all have an inode. That of a System V segment is its ID, which may
// be 0, and another file's inode on the same device.
func bounds(line string) (lo, hi uintptr) {
	from, rest, _ := strings.Cut(line, "-")
	to, _, _ := strings.Cut(rest, " ")
	return uintptr(hex(from)), uintptr(hex(to))
}

func start(line string) place {
	f := strings.Fields(line)
	if len(f) < 5 || !strings.HasSuffix(f[1], "s") {
		return place{} // a private mapping shares its bytes with no other
	}
	p := place{f[3] + " " + f[4], hex(f[2])}
	if len(f) > 5 && strings.HasPrefix(f[5], "/SYSV") {
		p.file += " SYSV"
	}
	return p
}

func hex(digits string) uint64 {
	n, _ := strconv.ParseUint(digits, 16, 64)
	return n
}

// readMaps returns /proc/self/maps, or what of it can be read. Package os would
// not do: it keeps data of its own under locks that the detector must see.
func readMaps() string {
	fd, err := unix.Open("/proc/self/maps", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	var text []byte
	buf := make([]byte, 1<<14)
	for {
		n, err := unix.Read(fd, buf)
		if err != nil || n <= 0 {
			return string(text)
		}
		text = append(text, buf[:n]...)
	}
}
