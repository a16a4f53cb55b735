package region

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"sync/atomic"

	"interlock/internal/sigbus"
)

// A mapping of this process, from /proc/self/maps.
type mapping struct {
	lo, hi  uintptr
	shared  bool
	aliased bool // what it maps is mapped at other addresses too
}

// known is this process's mappings as they were when somebody last had to know;
// nil after a change.
var known atomic.Pointer[[]mapping]

// Aliased reports whether what is mapped at addr is, as far as anybody can
// tell, mapped at another address of this process as well. The mappings are
// read once, and again after Detach, Note and Mapped.
func Aliased(addr uintptr) bool {
	maps := known.Load()
	m := find(maps, addr)
	if m == nil {
		maps = readMaps()
		known.Store(maps)
		m = find(maps, addr)
	}
	return m == nil || m.aliased // who cannot read /proc assumes the worst
}

// Note says that addr is in use, in memory that this module may not have mapped:
// from now on a fault there is contained. If it was mapped after the mappings were
// read, they are read again.
func Note(addr uintptr) {
	maps := known.Load()
	m := find(maps, addr)
	if m == nil && sigbus.Contains(addr) {
		known.CompareAndSwap(maps, nil) // will be read when somebody has to know
		return
	}
	if m == nil {
		maps = readMaps()
		known.Store(maps)
		m = find(maps, addr)
	}
	if m != nil && m.shared {
		sigbus.Contain(m.lo, m.hi)
	}
}

// Mapped says that this module has mapped [lo, hi). Detach takes it back.
func Mapped(lo, hi uintptr) {
	known.Store(nil)
	sigbus.Contain(lo, hi)
}

func find(maps *[]mapping, addr uintptr) *mapping {
	if maps == nil {
		return nil
	}
	i, ok := slices.BinarySearchFunc(*maps, addr, func(m mapping, addr uintptr) int {
		switch {
		case m.hi <= addr:
			return -1
		case addr < m.lo:
			return 1
		}
		return 0
	})
	if !ok {
		return nil
	}
	return &(*maps)[i]
}

// readMaps reads lines such as
//
//	7f3a12c00000-7f3a12c01000 rw-s 00000000 00:01 2060    /memfd:x (deleted)
//
// Which pages of the object are mapped is not looked at: two windows that do
// not overlap count as aliases.
func readMaps() *[]mapping {
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return nil
	}
	var maps []mapping
	first := make(map[string]int) // object -> the first mapping of it
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) < 5 {
			continue
		}
		lo, hi, _ := bytes.Cut(f[0], []byte("-"))
		m := mapping{lo: parseHex(lo), hi: parseHex(hi)}
		m.shared = len(f[1]) == 4 && f[1][3] == 's'
		if object := string(f[3]) + " " + string(f[4]); m.shared {
			if i, ok := first[object]; ok {
				m.aliased, maps[i].aliased = true, true
			} else {
				first[object] = len(maps)
			}
		}
		maps = append(maps, m)
	}
	return &maps
}

func parseHex(b []byte) uintptr {
	n, _ := strconv.ParseUint(string(b), 16, 64)
	return uintptr(n)
}
