// Package atomic stands in for sync/atomic: each operation is a point.
package atomic

import "interlock/stress/internal/schedule/sim"

type number interface {
	~int32 | ~int64 | ~uint32 | ~uint64 | ~uintptr
}

// word is laid out as the type of sync/atomic that it stands for.
type word[T number] struct{ v T }

// The types of sync/atomic that the library uses.
type (
	Int32   struct{ word[int32] }
	Int64   struct{ word[int64] }
	Uint32  struct{ word[uint32] }
	Uint64  struct{ word[uint64] }
	Uintptr struct{ word[uintptr] }
)

func (x *word[T]) Load() T {
	sim.Before(x.addr())
	v := x.v
	sim.Changed(x.addr(), "loads", uint64(v), uint64(v))
	return v
}

func (x *word[T]) Store(v T) { x.swap(v, "stores") }

func (x *word[T]) Swap(v T) (old T) { return x.swap(v, "exchanges") }

func (x *word[T]) swap(v T, op string) (old T) {
	sim.Before(x.addr())
	old, x.v = x.v, v
	sim.Changed(x.addr(), op, uint64(old), uint64(v))
	return old
}

func (x *word[T]) Add(delta T) T {
	sim.Before(x.addr())
	old := x.v
	x.v += delta
	sim.Changed(x.addr(), "adds to", uint64(old), uint64(x.v))
	return x.v
}

func (x *word[T]) Or(mask T) (old T) {
	sim.Before(x.addr())
	old = x.v
	x.v |= mask
	sim.Changed(x.addr(), "sets bits of", uint64(old), uint64(x.v))
	return old
}

func (x *word[T]) And(mask T) (old T) {
	sim.Before(x.addr())
	old = x.v
	x.v &= mask
	sim.Changed(x.addr(), "clears bits of", uint64(old), uint64(x.v))
	return old
}

func (x *word[T]) CompareAndSwap(old, v T) bool {
	sim.Before(x.addr())
	if was := x.v; was != old {
		sim.Changed(x.addr(), "does not swap", uint64(was), uint64(was))
		return false
	}
	x.v = v
	sim.Changed(x.addr(), "swaps", uint64(old), uint64(v))
	return true
}

// A Bool is an atomic.Bool.
type Bool struct{ is Uint32 }

func number1(yes bool) uint32 {
	if yes {
		return 1
	}
	return 0
}

func (b *Bool) Load() bool       { return b.is.Load() != 0 }
func (b *Bool) Store(v bool)     { b.is.Store(number1(v)) }
func (b *Bool) Swap(v bool) bool { return b.is.Swap(number1(v)) != 0 }
func (b *Bool) CompareAndSwap(old, v bool) bool {
	return b.is.CompareAndSwap(number1(old), number1(v))
}

// A Pointer is an atomic.Pointer. It is never in shared memory.
type Pointer[T any] struct{ p *T }

func (x *Pointer[T]) Load() *T {
	sim.Before(0)
	return x.p
}

func (x *Pointer[T]) Store(p *T) {
	sim.Before(0)
	x.p = p
}

func (x *Pointer[T]) CompareAndSwap(old, p *T) bool {
	sim.Before(0)
	if x.p != old {
		return false
	}
	x.p = p
	return true
}
