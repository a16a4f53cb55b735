// Package sync stands in for the sync of Go: locks of one process.
package sync

import "interlock/stress/internal/schedule/sim"

// A Mutex is a sync.Mutex.
type Mutex = sim.Mutex

// An RWMutex is a sync.RWMutex that lets one reader in at a time.
type RWMutex struct{ Mutex }

// RLock locks it.
func (m *RWMutex) RLock() { m.Lock() }

// RUnlock unlocks it.
func (m *RWMutex) RUnlock() { m.Unlock() }

// A Once is a sync.Once.
type Once struct {
	mu   Mutex
	done bool
}

// Do calls f the first time.
func (o *Once) Do(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.done {
		o.done = true
		f()
	}
}

// OnceValue is sync.OnceValue, for a function that does not block.
func OnceValue[T any](f func() T) func() T {
	var v T
	done := false
	return func() T {
		if !done {
			v, done = f(), true
		}
		return v
	}
}
