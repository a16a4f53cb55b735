package bench

import (
	"context"
	"fmt"
	"time"

	"interlock/seqlock"
	"interlock/shm"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/bench/work"
)

// seqBoard is a value that others read, behind a seqlock and plain.
type seqBoard[T any] struct {
	Lock  seqlock.Seqlock[T]
	Plain T
}

// The values, by size.
type (
	b64  = [64]byte
	b4k  = [4 << 10]byte
	b64k = [64 << 10]byte
)

// serveRead is a reader, whose mapping is read-only: it cannot write anything to
// shared memory. args are the size of the value.
func serveRead(c *work.Conn, args []string) error {
	switch args[0] {
	case "64":
		return serveReads[b64](c)
	case "4096":
		return serveReads[b4k](c)
	case "65536":
		return serveReads[b64k](c)
	}
	return fmt.Errorf("no values of %s bytes", args[0])
}

func serveReads[T any](c *work.Conn) error {
	b, _, err := inherit[seqBoard[T]](shm.ReadOnly)
	if err != nil {
		return err
	}
	dst := new(T)
	return c.Serve(func(o work.Order) (work.Answer, error) {
		if o.Mode == "copy" {
			return o.Batches(func(n int) { plainCopies(dst, &b.Plain, n) }), nil
		}
		var failed error
		a := o.Batches(func(n int) {
			if err := loads(dst, &b.Lock, n); err != nil {
				failed = err
			}
		})
		return a, failed
	})
}

func loads[T any](dst *T, s *seqlock.Seqlock[T], n int) error {
	ctx := context.Background()
	for range n {
		if err := s.Load(ctx, dst); err != nil {
			return err
		}
	}
	return nil
}

func plainCopies[T any](dst, src *T, n int) {
	for range n {
		copyOne(dst, src)
	}
}

// copyOne is a call of its own, as a Load is.
//
//go:noinline
func copyOne[T any](dst, src *T) { *dst = *src }

// readers starts n of them, on a CPU each, and gives them a value to read.
func readers[T any](r *Rig, n int) ([]*proc, error) {
	g, err := memory[seqBoard[T]](r, 0)
	if err != nil {
		return nil, err
	}
	if err := g.at.Lock.Store(context.Background(), new(T)); err != nil {
		return nil, err
	}
	all, err := r.workers(n, "read", []string{fmt.Sprint(arena.SizeOf[T]())}, g.file)
	for i, p := range all {
		p.pin(cpus()[i%len(cpus())])
	}
	return all, err
}

func runSeqlock(r *Rig) error {
	if err := reading[b64](r, "64 B", below(10)); err != nil {
		return err
	}
	if err := reading[b4k](r, "4 KiB", atMost(1.3)); err != nil {
		return err
	}
	if err := reading[b64k](r, "64 KiB", atMost(1.3)); err != nil {
		return err
	}
	for n := 2; n <= len(cpus()); n *= 2 {
		if err := scaling(r, n); err != nil {
			return err
		}
	}
	if len(cpus()) < 2 {
		return r.add(&Row{Name: "readers of 4 KiB", Against: "one reader", Skipped: twoCPUs().Error()})
	}
	return nil
}

// reading compares a Load without writers with a copy of the same bytes, and with
// gVisor's counter around one.
func reading[T any](r *Rig, name string, reach Reach) error {
	ours, err := one(readers[T](r, 1))
	if err != nil {
		return err
	}
	row := &Row{Name: "Load of " + name, Unit: Nanoseconds, Against: "a plain copy", Reach: reach}
	if err := r.compare(row, best("load", ours), best("copy", ours)); err != nil {
		return err
	}
	beside := &Row{Name: "Load of " + name, Unit: Nanoseconds, Against: "gVisor SeqCount", Reach: atMost(1.05)}
	beside.note("not slower: within 5 %%")
	theirs, err := gvisorReader[T](r)
	if err != nil {
		return r.without(err, beside)
	}
	return r.compare(beside, best("load", ours), best("load", theirs))
}

// gvisorReader reads a value of the same size by way of gVisor's counter.
func gvisorReader[T any](r *Rig) (*proc, error) {
	g, err := memory[struct {
		Epoch [8]uint64
		Plain T
	}](r, 0)
	if err != nil {
		return nil, err
	}
	p, err := r.rival("seqcount", []string{fmt.Sprint(arena.SizeOf[T]())}, g.file)
	if err == nil {
		p.pin(cpus()[0])
	}
	return p, err
}

// scaling compares n readers with one: they should not notice each other.
func scaling(r *Rig, n int) error {
	all, err := readers[b4k](r, n)
	if err != nil {
		return err
	}
	alone := rate("load", all[0])
	times := func(d time.Duration) (float64, error) {
		x, err := alone(d)
		return x * float64(n), err
	}
	return r.compare(&Row{Name: fmt.Sprintf("%d readers of 4 KiB", n), Unit: PerSecond,
		Against: fmt.Sprintf("%d × one reader", n), Reach: atLeast(0.9)}, rate("load", all...), times)
}
