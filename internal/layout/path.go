package layout

import (
	"reflect"
	"strconv"
)

// This file finds fields by what is wrong with where they lie, and names them by
// their paths, as Check does: Shared.Users[3].Name. The primitives of this module
// are not opened.

// rootName is what the path of a field of t begins with.
func rootName(t reflect.Type) string {
	if t.Name() == "" {
		return "T"
	}
	return t.Name()
}

// FirstBeyond names the first field of a t that is not, or not wholly, in its
// first n bytes. Of an array it names the element. It is "" where only padding
// is missing.
func FirstBeyond(t reflect.Type, n uint64) string {
	path, _ := firstBeyond(t, rootName(t), n)
	return path
}

func firstBeyond(t reflect.Type, path string, n uint64) (string, bool) {
	switch {
	case uint64(t.Size()) <= n:
		return "", false
	case t.Kind() == reflect.Struct && !isPrimitive(t):
		for i := range t.NumField() {
			f := t.Field(i)
			if p, ok := firstBeyond(f.Type, path+"."+f.Name, n-min(n, uint64(f.Offset))); ok {
				return p, true
			}
		}
		return "", false
	case t.Kind() == reflect.Array: // it has elements, and they have bytes
		size := uint64(t.Elem().Size())
		for i := n / size; i < uint64(t.Len()); i++ { // twice at most: n may be in the padding of one
			if p, ok := firstBeyond(t.Elem(), path+"["+strconv.FormatUint(i, 10)+"]", n-min(n, i*size)); ok {
				return p, true
			}
		}
		return "", false
	}
	return path, true
}

// Strictest names the first field of a t that needs t's alignment.
func Strictest(t reflect.Type) string {
	path, align := rootName(t), t.Align()
	for {
		switch {
		case t.Kind() == reflect.Struct && !isPrimitive(t):
			f, ok := alignedField(t, align)
			if !ok {
				return path
			}
			t, path = f.Type, path+"."+f.Name
		case t.Kind() == reflect.Array && t.Len() > 0:
			t, path = t.Elem(), path+"[0]"
		default:
			return path
		}
	}
}

func alignedField(t reflect.Type, align int) (f reflect.StructField, ok bool) {
	for i := range t.NumField() {
		if f = t.Field(i); f.Type.Align() == align {
			return f, true
		}
	}
	return f, false
}
