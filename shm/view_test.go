package shm

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
)

func sscan(line string, lo, hi *uintptr, perms *string) (int, error) {
	return fmt.Sscanf(line, "%x-%x %s", lo, hi, perms)
}

func TestAt(t *testing.T) {
	s := must[*Segment](t)(Memfd("x", 4096))
	defer closeNow(t, s)
	mem := s.Bytes()
	type T struct {
		N atomic.Uint64
		B [8]byte
	}
	p := must[*T](t)(At[T](mem, 64))
	p.N.Store(0x0102)
	if mem[64] != 2 || mem[65] != 1 {
		t.Error("not over the memory")
	}
	must[*T](t)(At[T](mem, 4096-16)) // the last place
	if v := must[[]uint32](t)(Slice[uint32](mem, 4, 1023)); len(v) != 1023 || cap(v) != 1023 {
		t.Error(len(v), cap(v))
	}
	if v, err := Slice[uint32](mem, 4096, 0); err != nil || v == nil || len(v) != 0 {
		t.Error(v, err)
	}
	must[*[3]byte](t)(At[[3]byte](mem, 1)) // bytes need no alignment

	type Table struct {
		N     uint32
		Users [4]struct {
			ID    uint32
			Flags [2]uint16
			Last  uint32
		}
	}
	type Users struct{ Name string }
	type Shared struct {
		Users [4]Users
	}
	bad := []struct {
		err  error
		want string
	}{
		{e(At[Shared](mem, 0)), "shm.At[Shared]: field Shared.Users[0].Name is a string: it holds a pointer"},
		{e(At[*int32](mem, 0)), "shm.At[*int32]: type T is a pointer"},
		{e(At[T](mem, 4)), "not a multiple of 8 as T.N needs"},
		{e(Slice[[2]T](mem, 4, 2)), "as T[0].N needs"},
		{e(At[uint64](mem[4:], 0)), "not a multiple of 8"}, // the address counts, not the offset
		{e(At[uint16](mem, 1)), "not a multiple of 2"},
		{e(At[T](mem, 4096-8)), "1 × 16 bytes at offset 4088 do not fit into the memory's 4096 bytes; the first that is not in it is T.B[0]"},
		{e(At[Table](mem, 4096-40)), "the first that is not in it is Table.Users[3].ID"},
		{e(Slice[Table](mem, 4096-60, 2)), "the first that is not in it is Table.Users[0].Flags[0] of element 1"},
		{e(Slice[T](mem, 0, 257)), "the first that is not in it is T.N of element 256"},
		{e(At[T](mem, 4096)), "do not fit"},
		{e(At[T](mem, 4104)), "beyond"},
		{e(At[T](mem, -8)), "negative"},
		{e(At[T](mem, math.MinInt)), "negative"},
		{e(At[T](mem, math.MaxInt)), "beyond"},
		{e(At[T](nil, 0)), "do not fit"},
		{e(At[struct{}](mem, 0)), "no bytes"},
		{e(At[[0]uint64](mem, 0)), "no bytes"},
		{e(Slice[uint64](mem, 0, -1)), "negative"},
		{e(Slice[uint64](mem, 0, 513)), "do not fit"},
		{e(Slice[uint64](mem, 0, math.MaxInt)), "do not fit"},
		{e(Slice[uint64](mem, 8, 1<<61)), "do not fit"}, // 8<<61 is 0 in 64 bits
		{e(Slice[uint64](mem, 4, 0)), "not a multiple"},
		{e(Slice[struct{}](mem, 0, 5)), "no bytes"},
		{e(Slice[bool](mem, 0, 5)), "type bool is a bool"},
	}
	for i, b := range bad {
		if !errors.Is(b.err, ErrLayout) || !strings.Contains(b.err.Error(), b.want) {
			t.Errorf("%d: %v, want %q", i, b.err, b.want)
		}
	}
}

func e[T any](_ T, err error) error { return err }
