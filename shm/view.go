package shm

import (
	"fmt"
	"reflect"

	"interlock/internal/layout"
	"interlock/internal/region"
)

// At lays T over the bytes of mem from offset off and returns a pointer into
// it. mem is any mapping: a Segment's Bytes, the caller's own unix.Mmap.
// Nothing is read or written.
//
// T must hold no pointers, nor anything else that means something in one
// process only (P-G9); it must have a size, lie inside mem, and be aligned:
// 64-bit words at addresses divisible by 8 (P-G8). Otherwise the error, an
// ErrLayout, names the field by its path, Shared.Users[0].Name, and the
// numbers: the first field that must not be there, the first that is not in
// mem, the first that needs the alignment.
//
// The pointer is valid as long as the mapping; the collector knows nothing of
// it. What T means is for the programs to agree on: Share checks that.
func At[T any](mem []byte, off int) (*T, error) {
	if err := place[T]("At", mem, off, 1); err != nil {
		return nil, err
	}
	return cast[T](mem, off), nil
}

// Pad keeps what stands before it and what stands after it in a struct off
// each other's cache lines: a word that one process writes all the time slows
// down whoever reads the line it is in. Put it between things that different
// processes are busy with; a lock and what it guards belong together.
type Pad [64]byte

// Slice is At for n consecutive values. n may be 0.
func Slice[T any](mem []byte, off, n int) ([]T, error) {
	if err := place[T]("Slice", mem, off, n); err != nil {
		return nil, err
	}
	if n == 0 {
		return []T{}, nil
	}
	return castSlice[T](mem, off, n), nil
}

func place[T any](call string, mem []byte, off, n int) error {
	t, err := reflect.TypeFor[T](), layout.Flat[T]()
	if err == nil {
		err = fits(mem, off, n, t)
	}
	if err == nil {
		if n > 0 { // it may be memory that the caller mapped
			lo, _ := span(mem[off:])
			region.Note(lo)
		}
		return nil
	}
	name := t.Name()
	if name == "" {
		name = t.String()
	}
	return tagged{fmt.Errorf("shm.%s[%s]: %w", call, name, err), ErrLayout}
}

// fits checks n values of a type at off. It divides where adding or
// multiplying could overflow.
func fits(mem []byte, off, n int, t reflect.Type) error {
	size, align := uint64(t.Size()), uint64(t.Align())
	switch {
	case size == 0:
		return fmt.Errorf("the type has no bytes to share")
	case off < 0:
		return fmt.Errorf("offset %d is negative", off)
	case n < 0:
		return fmt.Errorf("length %d is negative", n)
	case off > len(mem):
		return fmt.Errorf("offset %d is beyond the memory's %d bytes", off, len(mem))
	case uint64(n) > uint64(len(mem)-off)/size:
		return fmt.Errorf("%d × %d bytes at offset %d do not fit into the memory's %d bytes%s", n, size, off, len(mem), firstMissing(t, n, uint64(len(mem)-off)))
	}
	if lo, _ := span(mem); (uint64(lo)+uint64(off))%align != 0 {
		return fmt.Errorf("offset %d is address %#x, not a multiple of %d as %s needs", off, uint64(lo)+uint64(off), align, layout.Strictest(t))
	}
	return nil
}

// firstMissing names what is not in the room that there is for n values.
func firstMissing(t reflect.Type, n int, room uint64) string {
	field, where := layout.FirstBeyond(t, room%uint64(t.Size())), ""
	if n > 1 {
		where = fmt.Sprintf(" of element %d", room/uint64(t.Size()))
	}
	if field == "" {
		return ""
	}
	return fmt.Sprintf("; the first that is not in it is %s%s", field, where)
}
