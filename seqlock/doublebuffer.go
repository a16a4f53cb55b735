package seqlock

import (
	"context"
	"sync/atomic"

	"interlock/internal/inherit"
	"interlock/internal/layout"
	"interlock/mutex"
)

// A DoubleBuffer holds a value of type T in two copies. A writer writes the
// one that readers do not use, then turns them over, so a reader never waits
// for a writer that is slow, stopped or dead. It costs twice the memory of a
// Seqlock. The idea is that of the Linux kernel's seqcount_latch.
//
// T, the zero value, placement and copying are as for Seqlock.
//
// Fairness: writers are served as mutex.Mutex serves lockers. A reader retries
// only if writers finished one whole write and began another during its copy;
// writers that never pause can do that to it again and again.
//
// When a writer dies in the middle of a write, that write never happened.
//
// In the terminology of the Go memory model, extended to processes that share
// the memory: a Store or Update synchronizes before each Load that returns the
// value it wrote, and before each later Store or Update.
//
// The sequence, and every way it may change:
//
//	offset  field
//	 0      seq   2n: version n is whole; 2n+1: version n+1 is being written
//	 8      mu    held by the writer while seq is odd
//	48      reserved
//	64      v[0], v[1]: version n is in v[n%2]
//
//	E-Q3  2n -> 2n+1     a writer that holds mu; before it touches v[(n+1)%2]
//	E-Q4  2n+1 -> 2n+2   the same writer; after its last store to it
//
//	INV-Q4  At sequence 2n and 2n+1, v[n%2] holds version n and nobody writes to
//	        it. The first who will is the writer of version n+2, after E-Q3 has
//	        made the sequence 2n+3. So a reader that began at version n has a
//	        whole copy if the sequence is at most 2n+2 when it has finished.
//	        (A reader that waits for an even sequence, or a version counted
//	        once per write, is the mistake of many tutorials: P-Q5.)
type DoubleBuffer[T any] struct {
	seq atomic.Uint64
	mu  mutex.Mutex
	_   [2]uint64
	v   [2]T
}

// Load copies the latest whole version to dst. It writes nothing to shared
// memory, so it works in a read-only mapping.
func (b *DoubleBuffer[T]) Load(dst *T) {
	if !known((*T)(nil)) {
		layout.MustBeFlat[T]("seqlock")
	}
	for {
		n := b.seq.Load() / 2 // acquire, pairs with E-Q4: the copy sees version n
		*dst = b.v[n%2]
		fenceLoads()
		if b.seq.Load()-2*n <= 2 { // INV-Q4; the difference survives a wrap
			acquire(addr(b))
			return
		}
	}
}

// Store replaces the value. It waits for other writers. After an error, which is
// one of those of Seqlock.Store, the value is unchanged.
func (b *DoubleBuffer[T]) Store(ctx context.Context, src *T) error {
	layout.MustBeFlat[T]("seqlock")
	if err := enter(ctx, addr(b), &b.mu); err != nil {
		return err
	}
	defer b.mu.Unlock()
	b.write(src)
	return nil
}

// Update lets f change a private copy of the value and stores what f made of
// it, as one step for readers and other writers. If f panics, nothing changes.
// Errors are those of Store.
func (b *DoubleBuffer[T]) Update(ctx context.Context, f func(v *T)) error {
	layout.MustBeFlat[T]("seqlock")
	if err := enter(ctx, addr(b), &b.mu); err != nil {
		return err
	}
	defer b.mu.Unlock()
	v := new(T)
	*v = b.v[b.seq.Load()/2%2]
	f(v)
	b.write(v)
	return nil
}

// write stores *src as the next version; the caller holds mu. An odd sequence
// is what a dead writer left: its copy is written again.
func (b *DoubleBuffer[T]) write(src *T) {
	odd := b.seq.Load() | 1
	begin(&b.seq, odd) // E-Q3
	b.v[(odd/2+1)%2] = *src
	releaseMerge(addr(b))
	end(&b.seq, odd) // E-Q4
	inherit.Whole(&b.mu)
}
