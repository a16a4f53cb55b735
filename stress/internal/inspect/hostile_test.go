package inspect

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"interlock/internal/layout"
	"interlock/internal/robust"
)

// imageOf is a source of these bytes, which nobody maps.
func imageOf(b []byte) *Source {
	return &Source{Name: "image", Kind: "file", Size: int64(len(b)), from: bytes.NewReader(b), close: func() error { return nil }}
}

// view looks at an image as Look does, without a look at all processes each time, and
// writes it in all ways.
func view(sub *Subject) *Scene {
	l := &look{census: &census{}, spaces: newNamespaces(), people: map[int]*Person{}}
	scene := &Scene{Objects: []*Object{l.object(sub, nil)}}
	scene.Cycles = l.cycles()
	NewWatch().See(scene)
	Write(io.Discard, scene, false)
	if _, err := json.Marshal(NewDocument(scene)); err != nil {
		panic(err)
	}
	return scene
}

const everyKind = "mutex[8]@0,semaphore@320,cond@352,seqlock(24)@368,doublebuffer(8)@456,mutex[6]/48@536"

// poke writes words that mean something somewhere into random bytes.
func poke(r *rand.Rand, b []byte) {
	ne := binary.NativeEndian
	pid := uint32(os.Getpid())
	words := []uint32{0, 1, pid, pid | robust.Waiters, robust.OwnerDied, robust.OwnerDied | robust.Waiters, robust.TIDMask,
		1<<22 + 1, robust.Inconsistent, robust.NotRecoverable, 0x90, 128, 1<<32 - 1, 1 << 31}
	longs := []uint64{0, 1 << 63, 1<<63 | uint64(pid)<<23 | uint64(pid), 1<<63 | 4026531836, 1<<64 - 1, 1 << 62}
	for range r.IntN(len(b) / 8) {
		if r.IntN(2) == 0 {
			ne.PutUint32(b[4*r.IntN(len(b)/4):], words[r.IntN(len(words))])
		} else {
			ne.PutUint64(b[8*r.IntN(len(b)/8):], longs[r.IntN(len(longs))])
		}
	}
}

// Ten thousand images of random bytes, some with words that mean something.
func TestRandomImages(t *testing.T) {
	places, err := ParseTypes(everyKind)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	states := map[string]int{}
	images := 10000
	if testing.Short() {
		images = 500
	}
	for range images {
		b := make([]byte, 1024)
		if r.IntN(3) > 0 {
			for i := range b {
				b[i] = byte(r.Uint32())
			}
		}
		poke(r, b)
		b = b[:len(b)-r.IntN(2)*r.IntN(len(b))]
		sub, err := Study(imageOf(b), places, true)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range view(sub).Objects[0].Items {
			states[it.State]++
			if it.Level == Act && it.Next == "" {
				t.Fatalf("seed %d: nothing to do about it: %+v", seed, it)
			}
		}
	}
	t.Logf("seed %d: %v", seed, states)
	for _, s := range []string{"free", "held", "orphan", "unmarked", "condemned", "repairing", "not shared", "impossible", "torn", "abandoned", "whole"} {
		if states[s] == 0 && !testing.Short() {
			t.Errorf("no image came out as %s: the images are too tame", s)
		}
	}
}

// segmentOf is a segment of Share with this description.
func segmentOf(description string, payload []byte) []byte {
	b := make([]byte, layout.PayloadOffset+len(payload))
	h := layout.Header{Size: uint64(len(payload)), Description: description, Maker: 1}
	h.Encode(b)
	layout.MarkReady(b)
	copy(b[layout.PayloadOffset:], payload)
	return b
}

// Descriptions that lie: larger than the memory, without end, deeper than any, cut
// anywhere. None is believed, and none takes long.
func TestDescriptionsThatLie(t *testing.T) {
	payload := make([]byte, 4096)
	real := layout.Describe(reflect.TypeFor[board]())
	texts := []string{
		"", " ", "{", "}", ";", "T", "T 40", "T 40 {", "T 40 {}", "mutex.Mutex 40", "mutex.Mutex 4000", "mutex.Mutex -1",
		"[100]mutex.Mutex 4000", "[101]mutex.Mutex 4040", "[9223372036854775807]mutex.Mutex 4000", "[0]mutex.Mutex 0",
		"[-1]mutex.Mutex 40", "[4]mutex.Mutex 41", "[[[[", "[4", "[4]", "[4] 4",
		"T 4096 {A mutex.Mutex@4090 40}", "T 4096 {A mutex.Mutex@9223372036854775807 40}", "T 4096 {A mutex.Mutex@0 9223372036854775807}",
		"T 9223372036854775807 {A [9223372036854775807]struct@0 9223372036854775807 {B mutex.Mutex@0 40}}",
		"T 4096 {A [4096]struct@0 4096 {B [4096]struct@0 4096 {C [4096]struct@0 4096 {D mutex.Mutex@0 40}}}}",
		"T 4096 {A [4096]struct@0 4096 {B [4096]struct@0 4096 {C [4096]struct@0 4096 {D [4096]uint8@0 4096}}}}",
		"T 4096 {" + strings.Repeat("A struct@0 4096 {", 100) + "M mutex.Mutex@0 40",
		"T 64 {S seqlock.Seqlock[struct { A uint64 \"x:\\\"]}{;@\\\"\" }]@0 64}", "T 64 {S seqlock.Seqlock[struct {@0 64}", `T 64 {S "`, `T 64 {S "\`,
	}
	for i := range len(real) {
		texts = append(texts, real[:i], real[i:])
	}
	for _, text := range texts {
		begun := time.Now()
		sub, err := Study(imageOf(segmentOf(text, payload)), nil, true)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		view(sub)
		for _, p := range sub.Places {
			if p.Off < layout.PayloadOffset || p.Size < 0 || p.Off+p.Size > layout.PayloadOffset+int64(len(payload)) {
				t.Errorf("%q: %+v", text, p)
			}
		}
		if d := time.Since(begun); d > 20*time.Second {
			t.Errorf("%q took %v", text, d)
		}
	}
	places, notes := Places("T 64 {S seqlock.Seqlock[struct { A uint64 \"x:\\\"]}{;@\\\"\" }]@0 64}", 64, false)
	if len(places) != 1 || places[0].Kind != Seqlock || len(notes) != 0 {
		t.Errorf("a type argument with everything in it: %+v %q", places, notes)
	}
	if places, notes := Places("T 4096 {A mutex.Mutex@0 40; B mutex.Mutex@40 40; C mut…", 4096, false); len(places) != 2 || len(notes) != 1 {
		t.Errorf("cut: %+v %q", places, notes)
	}
}

// The places that a description gives are those of the type itself.
func TestPlacesAreWhereTheFieldsAre(t *testing.T) {
	type grid struct {
		_    uint64
		Rows [2][3]struct {
			N  uint32
			Mu [1][2]struct{ L board }
		}
	}
	want := map[string]int64{}
	fieldsOf(want, reflect.TypeFor[grid](), "", 0)
	places, notes := Places(layout.Describe(reflect.TypeFor[grid]()), int64(reflect.TypeFor[grid]().Size()), false)
	if len(places) != len(want) || len(want) != 12*12 || len(notes) != 0 {
		t.Fatalf("%d places, want %d; %q", len(places), len(want), notes)
	}
	for _, p := range places {
		if off, ok := want[p.Path]; !ok || off != p.Off {
			t.Errorf("%s at %d, want %d", p.Path, p.Off, off)
		}
	}
}

// fieldsOf walks a type as reflect has it.
func fieldsOf(found map[string]int64, typ reflect.Type, path string, off int64) {
	switch {
	case strings.HasPrefix(typ.PkgPath(), "interlock/") && !strings.HasSuffix(typ.PkgPath(), "inspect"):
		found[path] = off
	case typ.Kind() == reflect.Array:
		for i := range typ.Len() {
			fieldsOf(found, typ.Elem(), path+"["+string(rune('0'+i))+"]", off+int64(i)*int64(typ.Elem().Size()))
		}
	case typ.Kind() == reflect.Struct:
		for i := range typ.NumField() {
			f := typ.Field(i)
			fieldsOf(found, f.Type, strings.TrimPrefix(path+"."+f.Name, "."), off+int64(f.Offset))
		}
	}
}

func FuzzImage(f *testing.F) {
	f.Add([]byte("T 4096 {A mutex.Mutex@0 40}"), make([]byte, 100), everyKind)
	f.Add([]byte(layout.Describe(reflect.TypeFor[board]())), bytes.Repeat([]byte{255}, 4000), "mutex[3]/48@0x8")
	f.Fuzz(func(t *testing.T, description, payload []byte, types string) {
		sub, err := Study(imageOf(segmentOf(string(description), payload)), nil, true)
		if err != nil {
			t.Fatal(err)
		}
		view(sub)
		if places, err := ParseTypes(types); err == nil {
			if sub, err = Study(imageOf(payload), places, false); err != nil {
				t.Fatal(err)
			}
			view(sub)
		}
		if sub, err = Study(imageOf(payload), nil, false); err != nil {
			t.Fatal(err)
		}
		view(sub)
	})
}

// A look changes not a byte, and asks for nothing that could.
func TestALookChangesNothing(t *testing.T) {
	s := newStage(t)
	p, q := s.actor(), s.actor()
	do(p, "lock 0", "acquire")
	do(q, "want 0")
	sleeps(t, s, "Mu[0]", q.Pid)
	p.Stop()
	q.Stop()
	path := shmDir + "/" + s.name
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var times [2]os.FileInfo
	times[0], _ = os.Stat(path)
	for range 3 {
		_, _ = OfProcess(p.Pid)
		s.look(Options{All: true})
	}
	times[1], _ = os.Stat(path)
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) || !times[0].ModTime().Equal(times[1].ModTime()) {
		t.Errorf("the memory changed: %v", err)
	}
}
