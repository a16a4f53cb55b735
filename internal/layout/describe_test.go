package layout_test

import (
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"interlock/internal/layout"
	"interlock/mutex"
)

func TestDescribe(t *testing.T) {
	type Slot struct {
		ID  uint64
		Pos [2]float32
	}
	type Shared struct {
		Mu    mutex.Mutex
		Hits  atomic.Uint64
		Slots [4]Slot
		X     struct{ A int16 }
	}
	got := layout.Describe(reflect.TypeFor[Shared]())
	want := "layout_test.Shared 120 {Mu mutex.Mutex@0 40; Hits atomic.Uint64@40 8; " +
		"Slots [4]layout_test.Slot@48 64 {ID uint64@0 8; Pos [2]float32@8 8}; X struct@112 2 {A int16@0 2}}"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDescribeIsBounded(t *testing.T) {
	var fields []reflect.StructField
	for i := range 500 {
		fields = append(fields, reflect.StructField{Name: "Füür" + strings.Repeat("é", i), Type: reflect.TypeFor[uint64]()})
	}
	got := layout.Describe(reflect.StructOf(fields))
	if len(got) > layout.MaxDescription || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
	for n := range 12 {
		if s := layout.Truncate("ééééééé", n); len(s) > n || !utf8.ValidString(s) {
			t.Errorf("Truncate to %d: %q", n, s)
		}
	}
}

func TestFingerprint(t *testing.T) {
	type base struct {
		A uint64
		B uint32
	}
	type same struct { // another name, same bytes
		A uint64
		B uint32
	}
	if layout.Fingerprint(reflect.TypeFor[base]()) != layout.Fingerprint(reflect.TypeFor[same]()) {
		t.Error("a type's name counts")
	}
	seen := map[uint64]string{}
	for _, v := range []any{
		base{},
		struct { // signedness
			A int64
			B uint32
		}{},
		struct { // order
			B uint32
			A uint64
		}{},
		struct { // swapped meaning, same bytes
			B uint64
			A uint32
		}{},
		struct { // narrower, same size
			A uint64
			B uint16
		}{},
		struct { // one more field in the padding
			A    uint64
			B, C uint32
		}{},
		[2]base{}, [3]base{},
		struct{ X base }{},
		uint64(0), float64(0), [8]byte{},
	} {
		f := layout.Fingerprint(reflect.TypeOf(v))
		if other, dup := seen[f]; dup {
			t.Errorf("%T has the fingerprint of %s", v, other)
		}
		seen[f] = reflect.TypeOf(v).String()
	}
}
