package seqlock_test

import (
	"context"
	"fmt"

	"interlock/seqlock"
	"interlock/shm"
)

// position is written by one process and read by many.
type position struct{ X, Y, Z float64 }

func Example() {
	seg, err := shm.Memfd("position", 4096)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer seg.Close()
	s, err := shm.At[seqlock.Seqlock[position]](seg.Bytes(), 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	if err := s.Store(ctx, &position{1, 2, 3}); err != nil {
		fmt.Println(err)
		return
	}
	var p position // readers write nothing: their mapping may be read-only
	if err := s.Load(ctx, &p); err != nil {
		fmt.Println(err) // ErrWriterDead: a writer died in the middle
		return
	}
	fmt.Println(p)
	// Output: {1 2 3}
}

// Readers of a DoubleBuffer never wait for a writer that is stopped or dead.
func ExampleDoubleBuffer() {
	seg, err := shm.Memfd("position", 4096)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer seg.Close()
	b, err := shm.At[seqlock.DoubleBuffer[position]](seg.Bytes(), 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := b.Update(context.Background(), func(p *position) { p.X++ }); err != nil {
		fmt.Println(err)
		return
	}
	var p position
	b.Load(&p)
	fmt.Println(p.X)
	// Output: 1
}
