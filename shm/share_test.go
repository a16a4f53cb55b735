package shm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"interlock/internal/layout"
)

var bg = context.Background()

type shared struct {
	A uint64
	B [3]uint32
}

func TestShare(t *testing.T) {
	name := newName(t)
	p, s, err := Share(bg, name, func(v *shared) error { v.A = 1; return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	q, s2, err := Share(bg, name, func(v *shared) error { t.Error("init again"); return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s2)
	q.B[2] = 5
	if q.A != 1 || p.B[2] != 5 || p == q {
		t.Error("not shared")
	}
	if lo, _ := span(s.Bytes()); s.Size() != layout.PayloadOffset+24 || mustAddr(p)-lo != layout.PayloadOffset {
		t.Error("T is not where the header says")
	}
}

func TestShareAnotherType(t *testing.T) {
	name := newName(t)
	_, s, err := Share[shared](bg, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	before := bytes.Clone(s.Bytes())
	type Other struct {
		A int64
		B [3]uint32
	}
	_, _, err = Share[Other](bg, name, nil)
	if !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), "shm.shared 24 {A uint64@0") || !strings.Contains(err.Error(), "shm.Other 24 {A int64@0") {
		t.Error(err)
	}
	if _, _, err = Share[uint64](bg, name, nil); !errors.Is(err, ErrLayout) {
		t.Error(err)
	}
	type Bad struct{ S []byte }
	if _, _, err = Share[Bad](bg, name, nil); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), "field Bad.S is a slice") {
		t.Error(err)
	}
	if _, _, err = Share[struct{}](bg, newName(t), nil); !errors.Is(err, ErrLayout) {
		t.Error(err)
	}
	if !bytes.Equal(before, s.Bytes()) {
		t.Error("a refused Share wrote into the segment")
	}
	raw := newName(t)
	r := must[*Segment](t)(Create(raw, 4096))
	defer closeNow(t, r)
	if _, _, err = Share[shared](bg, raw, nil); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), "not made by shm.Share") {
		t.Error(err)
	}
}

// T67, T68: each field of the header, damaged or from another world.
func TestShareChecks(t *testing.T) {
	name := newName(t)
	_, s, err := Share[shared](bg, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	mem := s.Bytes()
	good := bytes.Clone(mem)
	put := func(off int, v byte) func() { return func() { mem[off] = v } }
	cases := []struct {
		what string
		harm func()
		want error
		opts []Option
	}{
		{"magic", put(0, 'X'), ErrLayout, nil},
		{"version", put(8, 200), ErrVersion, nil},
		{"version 0", put(8, 0), ErrVersion, nil},
		{"state", put(12, 0), ErrNotReady, nil},
		{"size beyond the object", put(28, 1), ErrTruncated, nil},
		{"size", put(24, 16), ErrLayout, nil},
		{"fingerprint", func() { mem[33]++ }, ErrLayout, nil},
		{"word", put(20, 4), ErrLayout, nil},
		{"architecture", func() { copy(mem[72:80], "riscv64\x00") }, ErrLayout, nil},
		{"architecture unknown", func() { clear(mem[72:80]) }, ErrLayout, nil},
		{"payload offset", put(16, 1), ErrLayout, nil},
		{"PID namespace", func() { mem[40]++ }, ErrPIDNamespace, nil},
		{"PID namespace allowed", func() { mem[40]++ }, nil, []Option{AllowPIDNamespace}},
		{"boot", func() { mem[50]++ }, ErrLayout, nil},
		{"boot unknown", func() { clear(mem[48:64]) }, nil, nil},
		{"maker and description", func() { clear(mem[64:72]); clear(mem[80:2048]) }, nil, nil},
		// two wrongs: the earlier check speaks
		{"version, size", func() { mem[8]++; mem[28] = 1 }, ErrVersion, nil},
		{"fingerprint, namespace", func() { mem[32]++; mem[40]++ }, ErrLayout, nil},
		{"namespace, boot", func() { mem[40]++; mem[50]++ }, ErrPIDNamespace, nil},
	}
	for _, c := range cases {
		copy(mem, good)
		c.harm()
		harmed := bytes.Clone(mem)
		_, s2, err := Share[shared](bg, name, nil, c.opts...)
		if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
		if err == nil {
			closeNow(t, s2)
		}
		if !bytes.Equal(mem, harmed) {
			t.Errorf("%s: Share wrote into it", c.what)
		}
	}
}

// A program for another architecture is told so, and not that T differs (for it
// does not, to the eye).
func TestShareWithAnotherArchitecture(t *testing.T) {
	name := newName(t)
	_, s, err := Share[shared](bg, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	good := bytes.Clone(s.Bytes())
	for arch, says := range map[string]string{
		"riscv64": "made by a program for riscv64, this one is for " + runtime.GOARCH,
		"":        "made by a program for an unknown machine",
		// Only the fingerprint is another one: the description is the same.
		runtime.GOARCH: "in what these leave out",
	} {
		copy(s.Bytes(), good)
		clear(s.Bytes()[72:80])
		copy(s.Bytes()[72:80], arch)
		s.Bytes()[32]++ // as it would be
		if _, _, err := Share[shared](bg, name, nil); !errors.Is(err, ErrLayout) || !strings.Contains(err.Error(), says) {
			t.Errorf("made for %q: %v", arch, err)
		}
	}
}

func init() {
	children["namespace"] = func(arg []string) error {
		_, _, err := Share[shared](bg, arg[0], nil)
		if !errors.Is(err, ErrPIDNamespace) || !strings.Contains(err.Error(), "pid "+arg[1]) {
			return fmt.Errorf("want ErrPIDNamespace, got %w", err)
		}
		p, s, err := Share[shared](bg, arg[0], nil, AllowPIDNamespace)
		if err != nil {
			return err
		}
		p.A = 77
		return s.Close()
	}
}

// A process of another PID namespace, a real one, is kept out (P-K7).
func TestPIDNamespace(t *testing.T) {
	name := newName(t)
	p, s, err := Share[shared](bg, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, s)
	cmd := child(t, "namespace", name, strconv.Itoa(os.Getpid()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	cmd.Stderr = nil
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("needs root, for a PID namespace")
	}
	if err != nil || p.A != 77 {
		t.Errorf("%v: %s", err, out)
	}
}
