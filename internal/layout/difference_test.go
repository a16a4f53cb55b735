package layout

import (
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// What must hold for Difference:
//   - of two layouts with different fingerprints it names the first field that
//     differs, by its path, and how it is in each;
//   - of two with the same it names none, whatever their types are called;
//   - any text at all is no crash.

type diffBase struct {
	A uint64
	B [3]uint32
	C struct{ X, Y int16 }
}

func TestDifference(t *testing.T) {
	describe := func(v any) string { return Describe(reflect.TypeOf(v)) }
	base := describe(diffBase{})
	type same struct {
		A uint64
		B [3]uint32
		C struct{ X, Y int16 }
	}
	if d := Difference(base, describe(same{})); d != "" {
		t.Errorf("of the same layout: %q", d)
	}
	for want, v := range map[string]any{
		"diffBase.A uint64@0 8 there, T.A int64@0 8 here": struct {
			A int64
			B [3]uint32
		}{},
		"diffBase.A uint64@0 8 there, T.Z uint64@0 8 here": struct {
			Z uint64
			B [3]uint32
		}{},
		"diffBase.B [3]uint32@8 12 there, T.B [4]uint32@8 16 here": struct {
			A uint64
			B [4]uint32
		}{},
		"diffBase.C.Y int16@2 2 there, T.C.Y uint16@2 2 here": struct {
			A uint64
			B [3]uint32
			C struct {
				X int16
				Y uint16
			}
		}{},
		"diffBase.C struct@20 4 is only there": struct {
			A uint64
			B [3]uint32
		}{},
		"T.C.Z int16@4 2 is missing there": struct { // not C, for being larger
			A uint64
			B [3]uint32
			C struct{ X, Y, Z int16 }
		}{},
		"T.D uint64@24 8 is missing there": struct {
			A uint64
			B [3]uint32
			C struct{ X, Y int16 }
			D uint64
		}{},
		"diffBase.C struct@20 4 there, T._ uint32@20 4 here": struct {
			A uint64
			B [3]uint32
			_ uint32
			C struct{ X, Y int16 }
		}{},
	} {
		if d := Difference(base, describe(v)); d != want {
			t.Errorf("%q, want %q", d, want)
		}
	}
	type inArrays struct{ Rows [3][2]struct{ X, Y uint32 } }
	type others struct{ Rows [3][2]struct{ X, Z uint32 } }
	for _, c := range [][3]string{
		{"uint64 8", "int64 8", "uint64 8 there, int64 8 here"},
		{describe(inArrays{}), describe(others{}), "inArrays.Rows[0][0].Y uint32@4 4 there, others.Rows[0][0].Z uint32@4 4 here"},
		{describe([2]inArrays{}), describe([2]others{}), "T[0].Rows[0][0].Y uint32@4 4 there, T[0].Rows[0][0].Z uint32@4 4 here"},
	} {
		if d := Difference(c[0], c[1]); d != c[2] {
			t.Errorf("%q, want %q", d, c[2])
		}
	}
}

func FuzzDifference(f *testing.F) {
	f.Add(Describe(reflect.TypeFor[good]()), Describe(reflect.TypeFor[diffBase]()))
	f.Add("}}}{{;;@", "a b@c d{")
	f.Add("", "x {y z].@ ")
	f.Fuzz(func(t *testing.T, a, b string) {
		if d := Difference(a, b); a == b && d != "" {
			t.Errorf("%q differs from itself: %q", a, d)
		}
		Difference(b, a)
	})
}

// What the fingerprint must cover: each of these changes one thing only. The
// last are those that must not change it.
func TestFingerprintCoversOneChangeAtATime(t *testing.T) {
	type inner struct{ X, Y uint32 }
	type base struct {
		A uint64
		B [2]inner
		C uint16
		D uint16
	}
	want := Fingerprint(reflect.TypeFor[base]())
	for what, v := range map[string]any{
		"a field's name": struct {
			Z    uint64
			B    [2]inner
			C, D uint16
		}{},
		"two names changed places": struct {
			A    uint64
			B    [2]inner
			D, C uint16
		}{},
		"a signed word": struct {
			A    int64
			B    [2]inner
			C, D uint16
		}{},
		"a float": struct {
			A    float64
			B    [2]inner
			C, D uint16
		}{},
		"an array's length": struct {
			A    uint64
			B    [3]inner
			C, D uint16
		}{},
		"an array taken apart": struct {
			A      uint64
			B0, B1 inner
			C, D   uint16
		}{},
		"one level less": struct {
			A    uint64
			B    [4]uint32
			C, D uint16
		}{},
		"a name one level down": struct {
			A    uint64
			B    [2]struct{ X, Z uint32 }
			C, D uint16
		}{},
		"an offset, in padding": struct {
			A    uint64
			B    [2]inner
			C    uint16
			_    uint16
			D    uint16
			Fill [2]byte
		}{},
		"the size, at the end": struct {
			A    uint64
			B    [2]inner
			C, D uint16
			E    uint64
		}{},
		"an array of it": [1]base{},
		"a struct of it": struct{ V base }{},
	} {
		if Fingerprint(reflect.TypeOf(v)) == want {
			t.Errorf("%s does not change it", what)
		}
	}
	type renamed struct{ X, Y uint32 }
	if Fingerprint(reflect.TypeOf(struct {
		A    uint64
		B    [2]renamed
		C, D uint16
	}{})) != want {
		t.Error("the name of a type changes it")
	}
	if Fingerprint(reflect.TypeFor[time.Duration]()) != Fingerprint(reflect.TypeFor[int64]()) {
		t.Error("a named int64 is another one")
	}
}

// The fingerprint is in the header of segments that programs of other builds
// have made. Whoever changes it changes Version.
func TestFingerprintStays(t *testing.T) {
	if wordByte() != 8 {
		t.Skip("a machine of the other byte order")
	}
	for arch, want := range map[string]uint64{"amd64": 0xd4accfa34cf66a96, "arm64": 0xfe64215c4cca94d6} {
		if got := fingerprintFor(arch, reflect.TypeFor[diffBase]()); got != want {
			t.Errorf("for %s it is %#x, was %#x", arch, got, want)
		}
	}
	if Fingerprint(reflect.TypeFor[diffBase]()) != fingerprintFor(runtime.GOARCH, reflect.TypeFor[diffBase]()) {
		t.Error("it is not of this architecture")
	}
	if !strings.Contains(Describe(reflect.TypeFor[diffBase]()), "C struct@20 4 {X int16@0 2; Y int16@2 2}") {
		t.Error("the description has changed")
	}
}
