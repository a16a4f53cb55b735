package seqlock

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"interlock/internal/proctest"
)

func TestMain(m *testing.M) { proctest.Main(m) }

const hang = 2 * time.Minute // a watchdog's patience: never what decides

// A payload is made of copies of one counter, each spoilt in its own way, so that
// any mixture of two versions shows.
type payload[T any] interface {
	*T
	fill(n uint64)
	read() (n uint64, whole bool)
}

// mix is copy i of version n.
func mix(n uint64, i int) uint64 { return n ^ uint64(i)*0x9e3779b97f4a7c15 }

func fillWords(w []uint64, n uint64) {
	for i := range w {
		w[i] = mix(n, i)
	}
}

func readWords(w []uint64) (uint64, bool) {
	for i := range w {
		if w[i] != mix(w[0], i) {
			return w[0], false
		}
	}
	return w[0], true
}

// Eight bytes: the counter twice, in halves. The zero value is version 0.
type b8 [2]uint32

func (p *b8) fill(n uint64) { p[0], p[1] = uint32(n), uint32(n) }

func (p *b8) read() (uint64, bool) { return uint64(p[0]), p[0] == p[1] }

type b64 [8]uint64

func (p *b64) fill(n uint64) { fillWords(p[:], n) }

func (p *b64) read() (uint64, bool) { return readWords(p[:]) }

// Not a multiple of 8: 4 KiB, and 5 bytes that are copied otherwise.
type b4k struct {
	Words [512]uint64
	Tail  [5]byte
}

func (p *b4k) fill(n uint64) {
	fillWords(p.Words[:], n)
	for i := range p.Tail {
		p.Tail[i] = byte(n) + byte(i)
	}
}

func (p *b4k) read() (uint64, bool) {
	n, whole := readWords(p.Words[:])
	for i := range p.Tail {
		whole = whole && p.Tail[i] == byte(n)+byte(i)
	}
	return n, whole
}

// All bytes, at no alignment.
type b4101 [4101]byte

func (p *b4101) fill(n uint64) {
	for i := range p {
		p[i] = byte(n >> (8 * (i % 3)))
	}
}

func (p *b4101) read() (uint64, bool) {
	n := uint64(p[0]) | uint64(p[1])<<8 | uint64(p[2])<<16
	for i := range p {
		if p[i] != byte(n>>(8*(i%3))) {
			return n, false
		}
	}
	return n, true
}

type b64k [8192]uint64

func (p *b64k) fill(n uint64) { fillWords(p[:], n) }

func (p *b64k) read() (uint64, bool) { return readWords(p[:]) }

// A megabyte: a process that is killed at random dies in its copy.
type b1m [131072]uint64

func (p *b1m) fill(n uint64) { fillWords(p[:], n) }

func (p *b1m) read() (uint64, bool) { return readWords(p[:]) }

// Sixteen: a process can be stopped in its copy.
type b16m [2 << 20]uint64

func (p *b16m) fill(n uint64) { fillWords(p[:], n) }

func (p *b16m) read() (uint64, bool) { return readWords(p[:]) }

// A store is what Seqlock and DoubleBuffer have in common.
type store[T any] interface {
	load(ctx context.Context, dst *T) error
	Store(ctx context.Context, src *T) error
	Update(ctx context.Context, f func(v *T)) error
}

func (s *Seqlock[T]) load(ctx context.Context, dst *T) error { return s.Load(ctx, dst) }

func (b *DoubleBuffer[T]) load(_ context.Context, dst *T) error { b.Load(dst); return nil }

func (s *Seqlock[T]) String() string {
	pid, held := s.mu.Owner()
	return fmt.Sprintf("seq %#x; owner %d held %v", s.seq.Load(), pid, held)
}

func (b *DoubleBuffer[T]) String() string {
	pid, held := b.mu.Owner()
	return fmt.Sprintf("seq %#x; owner %d held %v", b.seq.Load(), pid, held)
}

// share makes an S for this process and, by its file, for children, and stores
// version 0 in it.
func share[S, T any, P payload[T]](t *testing.T) (*os.File, []byte, *S) {
	t.Helper()
	f, mem := proctest.Memfd(t, (sizeOf[S]()+4095)&^4095)
	s := lay[S](mem)
	proctest.Watchdog(t, hang, func() string { return any(s).(fmt.Stringer).String() })
	put[T, P](t, any(s).(store[T]), 0)
	return f, mem, s
}

func put[T any, P payload[T]](t *testing.T, s store[T], n uint64) {
	t.Helper()
	v := new(T)
	P(v).fill(n)
	if err := s.Store(context.Background(), v); err != nil {
		t.Fatalf("Store: %v", err)
	}
}

func expect[T any, P payload[T]](t *testing.T, s store[T], want uint64) {
	t.Helper()
	v := new(T)
	if err := s.load(context.Background(), v); err != nil {
		t.Fatalf("Load: %v", err)
	}
	if n, whole := P(v).read(); n != want || !whole {
		t.Fatalf("Load: version %d, whole %v; want %d", n, whole, want)
	}
}
