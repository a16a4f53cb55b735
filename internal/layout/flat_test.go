package layout

import (
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// lock looks like the words of our own primitives.
type lock struct {
	_    noCopy
	Word atomic.Uint32
	_    uint32
	List [2]atomic.Uint64
	_    [0]func()
}

type box[T any] struct {
	Seq atomic.Uint64
	V   T
}

type good struct {
	Mu   lock
	N    uint64
	F    [4]float64
	Age  time.Duration
	On   atomic.Bool
	C    complex128
	Box  box[[3]int32]
	More [2]struct{ A, B int16 }
}

type user struct {
	ID   uint64
	Name string
}

func TestCheck(t *testing.T) {
	for _, v := range []any{good{}, uint64(0), [8]byte{}, struct{}{}, [0]string{}, time.Duration(0)} {
		if err := Check(reflect.TypeOf(v)); err != nil {
			t.Errorf("%T refused: %v", v, err)
		}
	}
	type Shared struct{ Users [4]user }
	cases := []struct {
		v    any
		want string
	}{
		{Shared{}, "field Shared.Users[0].Name is a string: it holds a pointer, "},
		{"", "type string is a string: "},
		{struct{ P *int32 }{}, "field T.P is a pointer: "},
		{withUnsafePointer{}, "field withUnsafePointer.P is an unsafe.Pointer: "},
		{struct{ P uintptr }{}, "use uint64"},
		{struct{ P int }{}, "use int64 or int32"},
		{struct{ P uint }{}, "use uint64 or uint32"},
		{struct{ P bool }{}, "use uint32 or atomic.Bool"},
		{struct{ P []byte }{}, "field T.P is a slice: "},
		{struct{ P map[int32]int32 }{}, "field T.P is a map: "},
		{struct{ P chan int32 }{}, "field T.P is a chan: "},
		{struct{ P func() }{}, "field T.P is a func: "},
		{struct{ P any }{}, "field T.P is an interface: "},
		{struct{ P *sync.Mutex }{}, "field T.P is a pointer: "},
		{(*struct{ P sync.Mutex })(nil), "use interlock/mutex"},
		{(*struct{ P sync.RWMutex })(nil), "use interlock/mutex"},
		{(*struct{ P sync.WaitGroup })(nil), "one process only"},
		{(*struct{ P sync.Once })(nil), "initialise in the init function"},
		{(*struct{ P atomic.Pointer[int32] })(nil), "field T.P is an atomic.Pointer: "},
		{(*struct{ P atomic.Uintptr })(nil), "field T.P is an atomic.Uintptr: "},
		{(*struct{ P atomic.Value })(nil), "field T.P is an atomic.Value: "},
		{struct{ P time.Time }{}, "UnixNano"},
		{(*box[string])(nil), ".V is a string: "},
		{struct{ _ [2]*int32 }{}, "field T._[0] is a pointer: "},
		{[2]string{}, "field T[0] is a string"},
	}
	for _, c := range cases {
		typ := reflect.TypeOf(c.v)
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem() // types that vet forbids to copy come as nil pointers
		}
		err := Check(typ)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Check(%v) = %v, want it to contain %q", typ, err, c.want)
		}
	}
	if Check(nil) == nil || Check(reflect.TypeFor[any]()) == nil {
		t.Error("an interface type passed")
	}
}

func TestMustBeFlat(t *testing.T) {
	for range 3 {
		MustBeFlat[good]("seqlock")
		if err := Flat[good](); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { MustBeFlat[good]("seqlock") }); n != 0 {
		t.Errorf("a cached check allocates %v times", n)
	}
	for range 3 { // a refusal is never cached as a pass
		func() {
			defer func() {
				want := "seqlock: field user.Name is a string: "
				if s, _ := recover().(string); !strings.HasPrefix(s, want) {
					t.Errorf("panic %q, want prefix %q", s, want)
				}
			}()
			MustBeFlat[user]("seqlock")
		}()
		if Flat[user]() == nil {
			t.Error("Flat accepted a string")
		}
	}
}

// Two types in one slot must not vouch for each other.
func TestCacheCollision(t *testing.T) {
	bad := typeID((*user)(nil))
	MustBeFlat[good]("x")
	slot := slotOf(bad)
	old := slot.Load()
	slot.Store(typeID((*good)(nil)))
	defer slot.Store(old)
	if Flat[user]() == nil {
		t.Fatal("a type passed on another type's entry")
	}
}

func BenchmarkMustBeFlat(b *testing.B) {
	for range b.N {
		MustBeFlat[good]("seqlock")
	}
}

//go:noinline
func generic[T any]() { MustBeFlat[box[T]]("x") }

func BenchmarkMustBeFlatInGeneric(b *testing.B) {
	for range b.N {
		generic[good]()
	}
}
