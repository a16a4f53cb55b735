package main

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/sync"

	"interlock/shm"
	"interlock/stress/internal/bench/work"
)

// board is a value that others read, and the counter around it.
type board[T any] struct {
	Seq sync.SeqCount
	_   [60]byte
	V   T
}

func readers(c *work.Conn, args []string) error {
	switch args[0] {
	case "64":
		return serve[[64]byte](c)
	case "4096":
		return serve[[4 << 10]byte](c)
	case "65536":
		return serve[[64 << 10]byte](c)
	}
	return fmt.Errorf("no values of %s bytes", args[0])
}

func serve[T any](c *work.Conn) error {
	b, err := inherit[board[T]](shm.ReadOnly)
	if err != nil {
		return err
	}
	dst := new(T)
	return c.Serve(func(o work.Order) (work.Answer, error) {
		return o.Batches(func(n int) { loads(b, dst, n) }), nil
	})
}

func loads[T any](b *board[T], dst *T, n int) {
	for range n {
		load(b, dst)
	}
}

// load is gVisor's SeqAtomicLoad, which is a template, without its second copy.
//
//go:noinline
func load[T any](b *board[T], dst *T) {
	for {
		epoch := b.Seq.BeginRead()
		*dst = b.V
		if b.Seq.ReadOk(epoch) {
			return
		}
	}
}
