package play

import (
	"reflect"
	"sync/atomic"
	"unsafe"

	"interlock/stress/internal/schedule/oracle"
	"interlock/stress/internal/schedule/sim"
)

func view(memory uintptr) *Memory { return *(**Memory)(unsafe.Pointer(&memory)) }

// Describe tells the oracle and the traces what lies where.
func Describe() {
	name("", 0, reflect.TypeFor[Memory]())
	oracle.Offsets.Word = uint64(unsafe.Offsetof(Memory{}.Mutex))
	oracle.Offsets.Permits = uint64(unsafe.Offsetof(Memory{}.Sem))
	oracle.Offsets.Signals = uint64(unsafe.Offsetof(Memory{}.Cond))
	oracle.Offsets.Items = uint64(unsafe.Offsetof(Memory{}.Items))
}

// name notes the names of all that is not made of other named things.
func name(prefix string, offset uint64, t reflect.Type) {
	if t.Kind() != reflect.Struct || t.PkgPath() == reflect.TypeFor[atomic.Uint32]().PkgPath() {
		sim.Names[offset] = prefix
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		sep := "."
		if prefix == "" {
			sep = ""
		}
		name(prefix+sep+f.Name, offset+uint64(f.Offset), f.Type)
	}
}
