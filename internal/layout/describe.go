package layout

import (
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDescription is the longest text Describe returns, in bytes.
const MaxDescription = PayloadOffset - offDescription

// Describe tells a type's layout in words, in at most MaxDescription bytes:
//
//	main.Shared 48 {Mu mutex.Mutex@0 40; Counter uint64@40 8}
//
// Each field is NAME TYPE@OFFSET SIZE, offsets from the start of the struct
// that holds it; a struct's fields follow in braces, an array's element's too.
// The primitives of this module are not opened: an inspector knows them by
// name, and a reader of an error message need not see their words. A text
// that would be too long ends in "…".
func Describe(t reflect.Type) string {
	var b strings.Builder
	b.WriteString(typeName(t) + " " + utoa(t.Size()))
	describeFields(&b, t)
	return Truncate(b.String(), MaxDescription)
}

func describeFields(b *strings.Builder, t reflect.Type) {
	for t.Kind() == reflect.Array {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || isPrimitive(t) {
		return
	}
	b.WriteString(" {")
	for i := range t.NumField() {
		if b.Len() > MaxDescription { // enough to be cut; a type may be huge
			return
		}
		if i > 0 {
			b.WriteString("; ")
		}
		f := t.Field(i)
		b.WriteString(f.Name + " " + typeName(f.Type) + "@" + utoa(f.Offset) + " " + utoa(f.Type.Size()))
		describeFields(b, f.Type)
	}
	b.WriteString("}")
}

// typeName is the name that a programmer would use; an unnamed struct is
// "struct", because its fields follow anyway.
func typeName(t reflect.Type) string {
	switch {
	case t.Name() == "" && t.Kind() == reflect.Struct:
		return "struct"
	case t.Name() == "" && t.Kind() == reflect.Array:
		return "[" + strconv.Itoa(t.Len()) + "]" + typeName(t.Elem())
	}
	return t.String()
}

// isPrimitive reports whether t is a word of sync/atomic or one of this
// module's own primitives.
func isPrimitive(t reflect.Type) bool {
	p := t.PkgPath()
	if p == "sync/atomic" {
		return true
	}
	switch strings.TrimPrefix(p, modulePath) {
	case "mutex", "semaphore", "condvar", "seqlock":
		return strings.HasPrefix(p, modulePath)
	}
	return false
}

// modulePath is this module's path and a slash, wherever the module lives.
var modulePath = strings.TrimSuffix(reflect.TypeFor[checker]().PkgPath(), "internal/layout")

// Truncate cuts s to at most n bytes without cutting a character in half, and
// shows that it did.
func Truncate(s string, n int) string {
	const more = "…"
	if len(s) <= n {
		return s
	}
	if n < len(more) {
		return ""
	}
	cut := n - len(more)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + more
}

func utoa(n uintptr) string { return strconv.FormatUint(uint64(n), 10) }
