package seqlock

import (
	"context"
	"errors"
	"sync/atomic"

	"interlock/internal/fence"
	"interlock/internal/inherit"
	"interlock/internal/mark"
	"interlock/internal/region"
	"interlock/mutex"
)

// enter takes the writers' mutex, also from a dead writer: the sequence tells
// what that one left behind, and the write to come repairs it.
func enter(ctx context.Context, at uintptr, mu *mutex.Mutex) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if region.IsReadOnly(at) {
		return ErrReadOnly
	}
	if err := inherit.Take(ctx, mu); err != nil && !errors.Is(err, mutex.ErrOwnerDead) {
		return err
	}
	return nil
}

// begin makes the sequence odd before the first store to the value is visible.
// An atomic store alone is not enough: it holds back what came before it, not
// what comes after (P-Q3).
func begin(seq *atomic.Uint64, odd uint64) {
	seq.Store(odd)
	fence.Stores()
	mark.At("E-Q1 odd")
}

// end makes the sequence even after the last store to the value is visible:
// an atomic store has release order.
func end(seq *atomic.Uint64, odd uint64) {
	mark.At("E-Q2 written, still odd")
	seq.Store(odd + 1)
}
