// The fine figures, for benchstat: what opening costs. Opening and the first Lock in
// a fresh process is measured by "stress bench open".
package shm

import (
	"context"
	"testing"
)

func BenchmarkOpen(b *testing.B) {
	name := newName(b)
	made, err := Create(name, 4096)
	if err != nil {
		b.Fatal(err)
	}
	defer made.Close()
	for b.Loop() {
		s, err := Open(name)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreateAndRemove(b *testing.B) {
	name := newName(b)
	for b.Loop() {
		s, err := Create(name, 4096)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		if err := Remove(name); err != nil {
			b.Fatal(err)
		}
	}
}

// Share of what is there already: open, check the header, map.
func BenchmarkShare(b *testing.B) {
	type counter struct{ N uint64 }
	name, ctx := newName(b), context.Background()
	_, made, err := Share[counter](ctx, name, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer made.Close()
	for b.Loop() {
		_, s, err := Share[counter](ctx, name, nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMemfd(b *testing.B) {
	for b.Loop() {
		s, err := Memfd("bench", 4096)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAt(b *testing.B) {
	type record struct {
		A, B uint64
		C    [6]uint32
	}
	s, err := Memfd("bench", 4096)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if _, err := At[record](s.Bytes(), 64); err != nil {
			b.Fatal(err)
		}
	}
}
