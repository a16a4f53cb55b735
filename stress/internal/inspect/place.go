package inspect

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"interlock/internal/robust"
)

// A Place is where a primitive lies.
type Place struct {
	Path    string
	Kind    Kind
	Off     int64 // from the start of the object
	Size    int64
	Type    string // of a Value
	Guessed bool   // nobody said that it is there
}

// A plain value that is shown has at most so many bytes, a text so many.
const (
	mostValue = 16
	mostText  = 256
)

// spec is KIND[COUNT]/STRIDE@OFFSET; of a seqlock, KIND(SIZE OF ITS VALUE).
var spec = regexp.MustCompile(`^(\w+)(?:\((\d+)\))?(?:\[(\d+)\])?(?:/(\w+))?@(\w+)$`)

// ParseTypes understands -type: "mutex@0x40,semaphore@0x80,mutex[1000]/64@0x100".
// Offsets are from the start of the object.
func ParseTypes(text string) ([]Place, error) {
	var list []Place
	for _, one := range strings.Split(text, ",") {
		places, err := parseType(strings.TrimSpace(one), most-int64(len(list)))
		if err != nil {
			return nil, err
		}
		list = append(list, places...)
	}
	slices.SortStableFunc(list, func(a, b Place) int { return cmp.Compare(a.Off, b.Off) })
	for i := 1; i < len(list); i++ {
		if a, b := list[i-1], list[i]; b.Off < a.Off+a.Size {
			return nil, fmt.Errorf("%s and %s overlap: a %s has %d bytes", a.Path, b.Path, a.Kind, a.Size)
		}
	}
	return list, nil
}

// parseType understands one of them, which may mean so many places.
func parseType(one string, room int64) ([]Place, error) {
	m := spec.FindStringSubmatch(one)
	if m == nil {
		return nil, fmt.Errorf("%q is not KIND@OFFSET, as mutex@0x40, mutex[1000]@0x100, mutex[1000]/64@0x100 (one each 64 bytes), or seqlock(24)@0 (of a value of 24 bytes)", one)
	}
	k := Kind(m[1])
	size := sizeOf(k)
	if size == 0 {
		return nil, fmt.Errorf("%q: no primitive %q; there are mutex, semaphore, cond, seqlock and doublebuffer", one, m[1])
	}
	if m[2] != "" {
		v, err := strconv.ParseUint(m[2], 10, 32)
		switch {
		case err != nil || k != Seqlock && k != DoubleBuffer:
			return nil, fmt.Errorf("%q: only a seqlock or doublebuffer has a value, of less than 4 GiB", one)
		case k == DoubleBuffer:
			v *= 2
		}
		size = (size + int64(v) + 7) &^ 7
	}
	count, stride := int64(1), size
	var err error
	if m[3] != "" {
		if count, err = strconv.ParseInt(m[3], 10, 64); err != nil || count < 1 || count > room {
			return nil, fmt.Errorf("%q: between 1 and %d in all", one, most)
		}
	}
	if m[4] != "" {
		if stride, err = strconv.ParseInt(m[4], 0, 32); err != nil || stride < size {
			return nil, fmt.Errorf("%q: one each %s bytes; it has %d", one, m[4], size)
		}
	}
	off, err := strconv.ParseInt(m[5], 0, 64)
	align := map[bool]int64{true: 4, false: 8}[k == Cond]
	switch {
	case err != nil || off < 0 || off > math.MaxInt64-count*stride:
		return nil, fmt.Errorf("%q: %s is no offset", one, m[5])
	case off%align != 0 || stride%align != 0 && count > 1:
		return nil, fmt.Errorf("%q: it cannot lie there: its offset is a multiple of %d", one, align)
	}
	name := fmt.Sprintf("%s@%#x", k, off)
	var list []Place
	for i := range count {
		p := Place{Path: name, Kind: k, Off: off + i*stride, Size: size}
		if m[3] != "" {
			p.Path = name + "[" + strconv.FormatInt(i, 10) + "]"
		}
		list = append(list, p)
	}
	return list, nil
}

// searched is how much of raw memory is searched for mutexes.
const searched = 64 << 20

// Guess finds mutexes in memory of which nobody said what it holds, by the two words
// in which each owner of this library leaves its name: they have 19 fixed bits, and 32
// more in the field kind beside them, so a stranger's data hardly looks so. Those that
// nobody has locked yet, and what C programs hold, are not found.
func Guess(s *Source) (list []Place) {
	const block = 1 << 20
	ne := binary.NativeEndian
	for at := int64(0); at < min(s.Size, searched); at += block {
		b := make([]byte, block+sizeMutex-8)
		n, _ := s.ReadAt(b, at) // what is short is not there
		for off := 0; off+sizeMutex <= n; off += 8 {
			if ne.Uint64(b[off+robust.OffPrev:])>>63 == 0 {
				continue
			}
			l := readLock(b[off:])
			if _, ok := l.last(); ok && l.shared() && l.possible() {
				off := at + int64(off)
				list = append(list, Place{Path: fmt.Sprintf("mutex@%#x", off), Kind: Mutex, Off: off, Size: sizeMutex, Guessed: true})
			}
		}
	}
	return list
}
