package layout

import (
	"reflect"
	"testing"
)

// What must hold for FirstBeyond and Strictest: against what is known of each
// field, FirstBeyond names the first, in order, whose end is behind the cut, and
// Strictest one that has the type's alignment.

type pathed struct {
	Kind  uint16
	Users [4]struct {
		ID   uint64
		Name [3]byte // five bytes of padding follow
	}
	Mu    lock // not of this module, so it is opened
	Lists [2][2]uint32
	Last  uint8 // and padding
}

func TestFirstBeyond(t *testing.T) {
	typ := reflect.TypeFor[pathed]()
	mu, lists := typ.Field(2).Offset, typ.Field(3).Offset
	for _, c := range []struct {
		n    uintptr
		want string
	}{
		{0, "pathed.Kind"}, {1, "pathed.Kind"},
		{2, "pathed.Users[0].ID"}, {8, "pathed.Users[0].ID"}, {15, "pathed.Users[0].ID"},
		{16, "pathed.Users[0].Name[0]"}, {18, "pathed.Users[0].Name[2]"},
		{19, "pathed.Users[1].ID"}, {24, "pathed.Users[1].ID"}, {31, "pathed.Users[1].ID"},
		{56, "pathed.Users[3].ID"}, {66, "pathed.Users[3].Name[2]"},
		{67, "pathed.Mu.Word"}, {mu + 4, "pathed.Mu._"}, {mu + 16, "pathed.Mu.List[1]"},
		{lists, "pathed.Lists[0][0]"}, {lists + 11, "pathed.Lists[1][0]"}, {lists + 15, "pathed.Lists[1][1]"},
		{lists + 16, "pathed.Last"}, {lists + 17, ""}, {typ.Size(), ""},
	} {
		if got := FirstBeyond(typ, uint64(c.n)); got != c.want {
			t.Errorf("of %d bytes: %q, want %q", c.n, got, c.want)
		}
	}
	if got := FirstBeyond(reflect.TypeFor[[3]uint64](), 17); got != "T[2]" {
		t.Error(got)
	}
	if got := FirstBeyond(reflect.TypeFor[uint64](), 7); got != "uint64" {
		t.Error(got)
	}
}

func TestStrictest(t *testing.T) {
	for _, c := range []struct {
		v    any
		want string
	}{
		{(*pathed)(nil), "pathed.Users[0].ID"},
		{(*good)(nil), "good.Mu.List[0]"},
		{(*struct {
			A, B uint8
			C    [2]struct {
				D uint8
				E uint32
			}
		})(nil), "T.C[0].E"},
		{(*[4]uint16)(nil), "T[0]"},
		{(*uint64)(nil), "uint64"},
		{(*struct {
			A uint8
			B [0]uint64
		})(nil), "T.B"},
	} {
		if got := Strictest(reflect.TypeOf(c.v).Elem()); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
