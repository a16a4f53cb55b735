package layout

import (
	"encoding/binary"
	"hash"
	"hash/fnv"
	"reflect"
	"runtime"
	"strconv"
)

// Fingerprint is 64 bits over everything two programs must agree on to share
// a T: the architecture, its word size and byte order, and for T and all it
// contains size, alignment, kind, array length, and each field's offset and
// name.
//
// The architecture counts although all that Go has lay out these types alike:
// words that processes wait on mean something only on one machine, which runs
// programs of another architecture under an emulator at best, and whether that
// keeps atomic operations and their order is its own affair.
//
// Field names count: two uint64 fields that changed places have the same
// offsets and kinds, and would silently swap their meaning. Names of types and
// packages do not: program A's main.State and program B's state.State are the
// same bytes.
//
// What it cannot see is meaning: give a field a new name when its meaning
// changes. It is no defence against somebody who wants to collide.
func Fingerprint(t reflect.Type) uint64 { return fingerprintFor(runtime.GOARCH, t) }

func fingerprintFor(arch string, t reflect.Type) uint64 {
	h := fnv.New64a()
	put(h, uint64(wordByte()))
	putName(h, arch)
	fingerprint(h, t)
	return h.Sum64()
}

func fingerprint(h hash.Hash64, t reflect.Type) {
	put(h, uint64(t.Kind()))
	put(h, uint64(t.Size()))
	put(h, uint64(t.Align()))
	switch t.Kind() {
	case reflect.Struct:
		put(h, uint64(t.NumField()))
		for i := range t.NumField() {
			f := t.Field(i)
			put(h, uint64(f.Offset))
			putName(h, f.Name)
			fingerprint(h, f.Type)
		}
	case reflect.Array:
		put(h, uint64(t.Len()))
		if t.Len() > 0 { // as in Check: an element without bytes has no layout
			fingerprint(h, t.Elem())
		}
	}
}

func put(h hash.Hash64, v uint64) {
	h.Write(binary.LittleEndian.AppendUint64(nil, v))
}

// putName puts the length first: "ab","c" is not "a","bc".
func putName(h hash.Hash64, name string) {
	put(h, uint64(len(name)))
	h.Write([]byte(name))
}

// wordByte says what a word looks like here: its size in bytes, and bit 7 if
// the most significant byte comes first.
func wordByte() uint8 {
	w := uint8(strconv.IntSize / 8)
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		w |= 0x80
	}
	return w
}
