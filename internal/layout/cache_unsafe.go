package layout

import (
	"reflect"
	"sync/atomic"
	"unsafe"
)

// A type either passes Check for ever or panics, so remembering the types that
// passed is enough. The memory is a small direct-mapped table: one slot per
// hash, the newest type wins. No lock, no map, no growth; a collision only
// costs Check again. Type descriptors are never moved and never freed, so
// their address is the type's identity.
const cacheBits = 8

var flat [1 << cacheBits]atomic.Uintptr

// MustBeFlat panics with prefix + ": " + the reason unless T may live in
// shared memory (see Check). After the first call for T it costs a few
// nanoseconds and allocates nothing, so a primitive can call it on every use.
func MustBeFlat[T any](prefix string) {
	id := typeID(any((*T)(nil)))
	if slotOf(id).Load() != id {
		mustBeFlatSlow(prefix, reflect.TypeFor[T](), id)
	}
}

// Known reports whether MustBeFlat has let T pass lately; pointer is a *T, nil will
// do. It has no type parameter, so it can be inlined into functions that have.
func Known(pointer any) bool {
	id := typeID(pointer)
	return slotOf(id).Load() == id
}

// Flat is MustBeFlat with an error instead of a panic and without a prefix.
func Flat[T any]() error {
	id := typeID(any((*T)(nil)))
	if slotOf(id).Load() == id {
		return nil
	}
	return remember(reflect.TypeFor[T](), id)
}

// mustBeFlatSlow is outlined so that MustBeFlat stays small enough to inline.
//
//go:noinline
func mustBeFlatSlow(prefix string, t reflect.Type, id uintptr) {
	if err := remember(t, id); err != nil {
		panic(prefix + ": " + err.Error())
	}
}

func remember(t reflect.Type, id uintptr) error {
	if err := Check(t); err != nil {
		return err
	}
	slotOf(id).Store(id)
	return nil
}

// typeID is the address of the type descriptor: the first word of an
// interface value.
func typeID(v any) uintptr { return *(*uintptr)(unsafe.Pointer(&v)) }

// slotOf hashes by the high bits of a multiplication: descriptors are
// neighbours in memory and aligned, so their low bits say little.
func slotOf(id uintptr) *atomic.Uintptr {
	return &flat[uint64(id)*0x9E3779B97F4A7C15>>(64-cacheBits)]
}
