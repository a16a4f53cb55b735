package layout

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

func sample() *Header {
	t := reflect.TypeFor[good]()
	return &Header{
		Size: uint64(t.Size()), Fingerprint: Fingerprint(t), PIDNS: 4026531836,
		BootID: [16]byte{1, 2, 3}, Maker: 42, Description: Describe(t),
	}
}

func encoded(h *Header) []byte {
	mem := make([]byte, PayloadOffset+int(h.Size))
	h.Encode(mem)
	MarkReady(mem)
	return mem
}

func TestHeaderRoundTrip(t *testing.T) {
	want := sample()
	mem := encoded(want)
	got, err := Decode(mem, int64(len(mem)))
	if err != nil {
		t.Fatal(err)
	}
	want.Version, want.State, want.Word, want.Arch = Version, StateReady, wordByte(), runtime.GOARCH
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
	if !got.Ours() {
		t.Error("our own header is not ours")
	}
	if !bytes.Equal(mem[:8], magic[:]) && !bytes.Equal(mem[:8], []byte("MHSKCOLI")) {
		t.Errorf("magic reads %q", mem[:8])
	}
}

// A header of a program for another architecture, or for words of another kind.
func TestHeaderOfAnotherArchitecture(t *testing.T) {
	for _, c := range []struct {
		off        int
		text, arch string
	}{
		{offArch, "riscv64\x00", "riscv64"},
		{offArch, "mips64le", "mips64le"}, // as long as they come
		{offArch, "\x00\x00\x00\x00\x00\x00\x00\x00", ""},
		{offArch, "\x1b[31m\xffxy", "?[31m?xy"},
		{offWord, "\x04", runtime.GOARCH},
	} {
		mem := encoded(sample())
		copy(mem[c.off:], c.text)
		h, err := Decode(mem, int64(len(mem)))
		if err != nil || h.Ours() || h.Arch != c.arch {
			t.Errorf("%q: %v, for %q, ours: %v", c.text, err, h.Arch, h.Ours())
		}
	}
}

// The order of the checks is part of the contract: each row breaks its field
// and all later ones, and the first must be named.
func TestHeaderCheckOrder(t *testing.T) {
	base := encoded(sample())
	n := int64(len(base))
	put32 := func(off int, v uint32) func([]byte) {
		return func(b []byte) { binary.NativeEndian.PutUint32(b[off:], v) }
	}
	size := func(b []byte) { binary.NativeEndian.PutUint64(b[offSize:], 1<<64-1) }
	magic := func(b []byte) { b[3] = 'x' }
	cases := []struct {
		name  string
		want  error
		breks []func([]byte)
	}{
		{"magic", ErrMagic, []func([]byte){magic, put32(offVersion, 9), put32(offState, 7), size}},
		{"version", ErrVersion, []func([]byte){put32(offVersion, 9), put32(offState, 7), size}},
		{"state", ErrNotReady, []func([]byte){put32(offState, 7), size}},
		{"size", ErrTruncated, []func([]byte){size}},
		{"payload", ErrMagic, []func([]byte){put32(offPayload, 64)}},
	}
	for _, c := range cases {
		b := bytes.Clone(base)
		for _, f := range c.breks {
			f(b)
		}
		if _, err := Decode(b, n); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for cut := range len(base) {
		_, err := Decode(base[:cut], int64(cut))
		if !errors.Is(err, ErrMagic) && !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut to %d bytes: %v", cut, err)
		}
	}
	if _, err := Decode(base, -1); !errors.Is(err, ErrTruncated) {
		t.Errorf("negative object size: %v", err)
	}
}

func TestHostileDescription(t *testing.T) {
	b := encoded(sample())
	binary.NativeEndian.PutUint32(b[offDescLen:], 1<<32-1)
	for i := offDescription; i < PayloadOffset; i++ {
		b[i] = "\x1b[31m\xff\n"[i%7]
	}
	h, err := Decode(b, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if !utf8.ValidString(h.Description) || strings.ContainsAny(h.Description, "\x1b\n") {
		t.Errorf("unprintable description %q", h.Description)
	}
}

// FuzzDecode: any bytes with any claimed length give a header or a typed
// error (T67).
func FuzzDecode(f *testing.F) {
	good := encoded(sample())
	f.Add(good, int64(len(good)))
	f.Add(good[:100], int64(100))
	f.Add([]byte{}, int64(0))
	f.Add(bytes.Repeat([]byte{0xff}, PayloadOffset), int64(1<<62))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		h, err := Decode(b, size)
		switch {
		case err == nil:
			if h.State != StateReady || h.Version != Version || size < PayloadOffset || h.Size > uint64(size)-PayloadOffset {
				t.Fatalf("accepted %+v of %d", h, size)
			}
		case errors.Is(err, ErrMagic), errors.Is(err, ErrVersion), errors.Is(err, ErrNotReady), errors.Is(err, ErrTruncated):
		default:
			t.Fatalf("untyped error %v", err)
		}
	})
}
