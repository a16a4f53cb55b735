// Package play is what processes do in a scenario, written against the library as any
// program would be. For the simulation it is compiled once for each process, as the
// library is.
package play

import (
	"context"
	"sync/atomic"
	"time"

	"interlock/condvar"
	"interlock/internal/proc"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/seqlock"
	"interlock/stress/internal/schedule/oracle"
)

// Memory is what the processes share.
type Memory struct {
	Mutex mutex.Mutex
	A, B  atomic.Uint64 // guarded by Mutex: equal outside of a change
	Sem   semaphore.Semaphore
	Cond  condvar.Cond
	Items atomic.Uint32 // guarded by Mutex: what Cond is about
	Pair  seqlock.Seqlock[pair]
	Twin  seqlock.DoubleBuffer[pair]
}

type pair [2]uint64

// Play plays a role in the memory that is mapped at an address.
func Play(role string, memory uintptr) { roles[role](view(memory)) }

// roles by their names. Each file adds its own.
var roles = map[string]func(m *Memory){"prelude": (*Memory).prelude}

func add(name string, role func(m *Memory)) bool {
	roles[name] = role
	return true
}

// soon is a context that ends after so many milliseconds, if the schedule lets it.
func soon(n time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), n*time.Millisecond)
}

// prelude is before everything else, one process after the other.
func (m *Memory) prelude() {
	proc.Start()
	set := oracle.Set()
	if set.Repairs {
		m.Mutex.OnOwnerDeath(m.repair)
	}
	if set.Permits > 0 {
		m.Sem.Init(set.Permits)
	}
	if set.Warm {
		m.Mutex.Lock()
		m.Mutex.Unlock()
	}
}
