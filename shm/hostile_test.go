package shm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// plant puts bytes under a name as a stranger would.
func plant(t testing.TB, name string, b []byte) {
	if err := os.WriteFile(filepath.Join(shmDir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

var typedErrors = []error{ErrLayout, ErrVersion, ErrTruncated, ErrNotReady, ErrPIDNamespace}

func isTyped(err error) bool {
	for _, want := range typedErrors {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

func goodSegment(t testing.TB) []byte {
	name := newName(t)
	_, s, err := Share[shared](bg, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	defer Remove(name)
	return bytes.Clone(s.Bytes())
}

// T67: any bytes at all are a typed error, and untouched.
func TestHostileHeaders(t *testing.T) {
	name := newName(t)
	good := goodSegment(t)
	try := func(b []byte) {
		t.Helper()
		plant(t, name, b)
		p, s, err := Share[shared](bg, name, nil)
		switch {
		case err == nil:
			copy(b[21:24], good[21:24]) // reserved: not looked at
			if !bytes.Equal(b[:64], good[:64]) {
				t.Errorf("accepted % x", b[:64])
			}
			_ = p.B[2]
			closeNow(t, s)
		case !isTyped(err):
			t.Errorf("untyped: %v", err)
		}
	}
	for n := 1; n <= len(good)+1; n += 13 { // cut, or longer
		b := make([]byte, n)
		copy(b, good)
		try(b)
	}
	try(bytes.Repeat([]byte{0xff}, 4096))
	try(make([]byte, 4096))
	rounds := 3000
	if testing.Short() {
		rounds = 200
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range rounds {
		b := bytes.Clone(good)
		for range 1 + rng.IntN(4) {
			if off := rng.IntN(128); rng.IntN(2) == 0 {
				b[off] = byte(rng.Uint32())
			} else {
				binary.NativeEndian.PutUint64(b[off&^7:], rng.Uint64()>>rng.IntN(64))
			}
		}
		try(b)
	}
}

func FuzzShare(f *testing.F) {
	good := goodSegment(f)
	f.Add(good)
	f.Add(good[:2048])
	f.Add(good[:15])
	f.Add(bytes.Repeat([]byte{0xff}, 3000))
	name := newName(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return // waits, as it must: TestNotReady
		}
		plant(t, name, b)
		p, s, err := Share[shared](bg, name, nil)
		if err == nil {
			_ = *p
			closeNow(t, s)
		} else if !isTyped(err) {
			t.Errorf("untyped: %v", err)
		}
	})
}

// A peer that rewrites the header as fast as it can: the answer is always one
// of the two that the bytes could mean.
func TestHeaderChangesMeanwhile(t *testing.T) {
	name := newName(t)
	_, s, err := Share[shared](bg, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	sizes := must[[]uint64](t)(Slice[uint64](s.Bytes(), 24, 1))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-stop:
				return
			default:
				sizes[0] = 1 << 60
				sizes[0] = 24
			}
		}
	}()
	for range 2000 {
		_, s2, err := Share[shared](bg, name, nil)
		if err == nil {
			closeNow(t, s2)
		} else if !errors.Is(err, ErrTruncated) {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}
