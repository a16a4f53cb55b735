package include

import (
	"reflect"
	"sync/atomic"
	"unsafe"

	"interlock/condvar"
	"interlock/futex"
	"interlock/internal/proc"
	"interlock/internal/robust"
	"interlock/mutex"
	"interlock/semaphore"
)

// at is the word of a primitive at an offset from docs/abi.md.
func at[W any](p unsafe.Pointer, off uintptr) *W { return (*W)(unsafe.Add(p, off)) }

// field reads a field of a primitive by its name.
func field[V, P any](p *P, name string) V {
	f, ok := reflect.TypeFor[P]().FieldByName(name)
	if !ok {
		panic("no field " + name)
	}
	return *at[V](unsafe.Pointer(p), f.Offset)
}

func word(c *condvar.Cond) *atomic.Uint32 { return at[atomic.Uint32](unsafe.Pointer(c), 0) }

func setKind(m *mutex.Mutex, kind uint32) {
	at[atomic.Uint32](unsafe.Pointer(m), robust.OffKind).Store(kind)
}

func setWord(m *mutex.Mutex, v uint32) {
	at[atomic.Uint32](unsafe.Pointer(m), robust.OffWord).Store(v)
}

func setOwner(m *mutex.Mutex, v uint32) {
	at[atomic.Uint32](unsafe.Pointer(m), robust.OffOwner).Store(v)
}

// condemnAndDie is what is left when a holder has condemned m (E-M9) and the first locker
// to learn of it was killed before it let go: E-M6. The kernel wakes one.
func condemnAndDie(m *mutex.Mutex) {
	setOwner(m, robust.NotRecoverable)
	w := at[atomic.Uint32](unsafe.Pointer(m), robust.OffWord)
	w.Store(robust.OwnerDied | robust.Waiters)
	if n, err := futex.Wake(w, 1); n != 1 || err != nil {
		panic("nobody slept")
	}
}

// release is what is left of an Unlock whose process was killed before the wake: E-M5.
func release(m *mutex.Mutex) {
	w := at[atomic.Uint32](unsafe.Pointer(m), robust.OffWord)
	if !w.CompareAndSwap(proc.TID(proc.Me())|robust.Waiters, 0) {
		panic("nobody waits, or we do not hold it")
	}
}

// permit is what is left of a Release whose process was killed before the wake: E-S4.
func permit(s *semaphore.Semaphore) { at[atomic.Uint64](unsafe.Pointer(s), 0).Add(1) }

func mutexIn(mem []byte) *mutex.Mutex { return at[mutex.Mutex](unsafe.Pointer(&mem[0]), 0) }

func semaphoreIn(mem []byte, off uintptr) *semaphore.Semaphore {
	return at[semaphore.Semaphore](unsafe.Pointer(&mem[0]), off)
}
