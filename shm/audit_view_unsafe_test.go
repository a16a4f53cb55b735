package shm

import (
	"errors"
	"math"
	"strings"
	"testing"
	"unsafe"
)

// What must hold for At, Slice and Share:
//   - whatever means something in one process only, or has no fixed size, is
//     refused by all three, at any depth, with the path to it, whether it stands
//     alone, in a field, in an array, or in a field's array of structs;
//   - no offset and no length, of 64 bits each, leads outside of the memory: a
//     view is refused, or lies inside, aligned;
//   - a type without bytes is refused.
//
// Unsafe for unsafe.Pointer only, and to ask for addresses.

// deep puts a type where only a walk finds it.
type deep[T any] struct {
	OK    uint64
	Users [4]struct {
		ID   uint32
		Name T
	}
}

// refusals is what the three calls say of T.
func refusals[T any](t *testing.T, mem []byte) map[string]error {
	name := newName(t)
	_, e1 := At[T](mem, 0)
	_, e2 := Slice[T](mem, 0, 1)
	_, e3 := Slice[T](mem, 0, 0)
	_, _, e4 := Share[T](bg, name, nil)
	if _, err := Open(name); !errors.Is(err, ErrNotExist) {
		t.Errorf("a refused Share has made something: %v", err)
	}
	return map[string]error{"At": e1, "Slice": e2, "Slice of none": e3, "Share": e4}
}

func refusedIn[T any](t *testing.T, mem []byte, noun string) {
	t.Helper()
	check := func(want string, errs map[string]error) {
		t.Helper()
		for call, err := range errs {
			if !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %T: %v, want %q", call, *new(T), err, want)
			}
		}
	}
	check(" is "+noun, refusals[T](t, mem))
	check("[0] is "+noun, refusals[[2]T](t, mem))
	check("T.F is "+noun, refusals[struct{ F T }](t, mem))
	check(".Users[0].Name is "+noun, refusals[deep[T]](t, mem))
}

func TestWhatHasNoBusinessInSharedMemory(t *testing.T) {
	mem := make([]byte, 4096)
	refusedIn[*uint64](t, mem, "a pointer")
	refusedIn[unsafe.Pointer](t, mem, "an unsafe.Pointer")
	refusedIn[string](t, mem, "a string")
	refusedIn[[]byte](t, mem, "a slice")
	refusedIn[map[int32]int32](t, mem, "a map")
	refusedIn[any](t, mem, "an interface")
	refusedIn[error](t, mem, "an interface")
	refusedIn[chan int32](t, mem, "a chan")
	refusedIn[func()](t, mem, "a func")
	refusedIn[int](t, mem, "an int")
	refusedIn[uint](t, mem, "a uint")
	refusedIn[uintptr](t, mem, "a uintptr")
	refusedIn[bool](t, mem, "a bool")
}

func TestNothingLeadsOutside(t *testing.T) {
	s := must[*Segment](t)(Memfd("view", 4096))
	defer closeNow(t, s)
	numbers := []int{0, 1, 2, 3, 4, 7, 8, 9, 511, 512, 513, 4087, 4088, 4089, 4095, 4096, 4097, 1 << 20,
		1<<61 - 1, 1 << 61, 1<<61 + 1, 1 << 62, math.MaxInt - 8, math.MaxInt - 1, math.MaxInt, -1, -8, -4096, math.MinInt, math.MinInt + 1}
	for _, mem := range [][]byte{s.Bytes(), s.Bytes()[:100], s.Bytes()[4:], s.Bytes()[:0], nil} {
		for _, off := range numbers {
			within(t, mem, off, 1, func() ([]uint64, error) { return oneOf(At[uint64](mem, off)) })
			for _, n := range numbers {
				within(t, mem, off, n, func() ([]uint64, error) { return Slice[uint64](mem, off, n) })
				within(t, mem, off, n, func() ([][3]byte, error) { return Slice[[3]byte](mem, off, n) })
			}
		}
	}
}

func oneOf[T any](p *T, err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	return unsafe.Slice(p, 1), nil
}

// within checks one view against what is certain.
func within[T any](t *testing.T, mem []byte, off, n int, view func() ([]T, error)) {
	t.Helper()
	size := int(unsafe.Sizeof(*new(T)))
	lo, _ := span(mem)
	fits := off >= 0 && off <= len(mem) && n >= 0 && n <= (len(mem)-off)/size &&
		(lo+uintptr(off))%unsafe.Alignof(*new(T)) == 0
	v, err := view()
	switch {
	case fits != (err == nil), err != nil && !errors.Is(err, ErrLayout):
		t.Errorf("%T, %d of them at %d of %d: %v", *new(T), n, off, len(mem), err)
	case err == nil && (len(v) != n || cap(v) != n):
		t.Errorf("%T: %d and %d, want %d", *new(T), len(v), cap(v), n)
	case err == nil && n > 0 && mustAddr(&v[0]) != lo+uintptr(off):
		t.Errorf("%T at %d is elsewhere", *new(T), off)
	}
}

func TestTypesWithoutBytes(t *testing.T) {
	mem := make([]byte, 64)
	for what, errs := range map[string]map[string]error{
		"struct{}":          refusals[struct{}](t, mem),
		"[0]uint64":         refusals[[0]uint64](t, mem),
		"[5]struct{}":       refusals[[5]struct{}](t, mem),
		"struct of nothing": refusals[struct{ _ [0]func() }](t, mem),
	} {
		for call, err := range errs {
			if !errors.Is(err, ErrLayout) {
				t.Errorf("%s of %s: %v", call, what, err)
			}
		}
	}
}
