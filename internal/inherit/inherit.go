// Package inherit is what condvar and seqlock need of a mutex beyond its public
// methods: to hold an orphan, and to declare it whole. It stays internal
// because outside of these two "an error means you do not hold it" must be
// true without exception.
//
// Package mutex fills the variables in; each takes a *mutex.Mutex.
package inherit

import "context"

var (
	// Lock acquires the mutex even if its owner died and no repair is
	// registered: then it returns mutex.ErrOwnerDead *holding* it. After any
	// other error it is not held.
	Lock func(ctx context.Context, m any) error
	// Take is Lock for an owner who repairs by itself: registered repairs do
	// not run.
	Take func(ctx context.Context, m any) error
	// Orphan reports whether the mutex, which the caller holds, is an
	// unrepaired orphan.
	Orphan func(m any) bool
	// Whole declares a held orphan repaired.
	Whole func(m any)
	// Held reports whether this process holds the mutex.
	Held func(m any) bool
	// WriterGone reports whether nobody alive holds the mutex: it is free, an
	// orphan, or its owner is dead. It reads only.
	WriterGone func(m any) bool
)
