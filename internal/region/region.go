// Package region is where the parts that map memory and the parts that keep
// business in it meet, without importing one another.
//
// shm maps and unmaps. The mutex engine keeps robust-list links into mapped
// memory, the waiting engine has goroutines asleep on words in it, and each
// mutex may have a repair registered under its address. Before memory goes
// away every one of them must either object (ErrBusy) or forget it: a link
// that outlives its mapping lets the kernel write into whatever is mapped
// there next (P-K4), and a stale repair would run for a stranger.
package region

import (
	"errors"
	"sync"
	"sync/atomic"

	"interlock/internal/sigbus"
)

// ErrTruncated: some memory, or the file under it, is too short.
var ErrTruncated = sigbus.ErrTruncated

// ErrBusy: this process waits for, or holds, something inside the memory.
var ErrBusy = errors.New("memory is in use: this process waits or holds a lock in it")

// A Tenant keeps business of this process in mapped memory.
type Tenant interface {
	// Busy returns a non-nil error, wrapping ErrBusy and naming the offset,
	// while [lo, hi) must not be unmapped. It must not change anything.
	Busy(lo, hi uintptr) error
	// Forget drops all business in [lo, hi). It runs after every tenant
	// answered Busy with nil.
	Forget(lo, hi uintptr)
}

type span struct{ lo, hi uintptr }

var (
	mu       sync.Mutex // guards tenants and readOnly, and orders Detach calls
	tenants  []Tenant
	readOnly []span
	nRO      atomic.Int32 // len(readOnly), so that the usual answer, none, costs one load
)

// Register adds a tenant. Call it from init.
func Register(t Tenant) {
	mu.Lock()
	defer mu.Unlock()
	tenants = append(tenants, t)
}

// Detach asks every tenant to give up [lo, hi). On an error nothing changed.
func Detach(lo, hi uintptr) error {
	mu.Lock()
	defer mu.Unlock()
	for _, t := range tenants {
		if err := t.Busy(lo, hi); err != nil {
			return err
		}
	}
	for _, t := range tenants {
		t.Forget(lo, hi)
	}
	known.Store(nil)
	sigbus.Forget(lo, hi)
	keep := readOnly[:0]
	for _, s := range readOnly {
		if s.lo < lo || s.hi > hi {
			keep = append(keep, s)
		}
	}
	readOnly = keep
	nRO.Store(int32(len(readOnly)))
	return nil
}

// AddReadOnly notes that [lo, hi) is mapped without write permission.
// Detach of the whole span forgets it.
func AddReadOnly(lo, hi uintptr) {
	mu.Lock()
	defer mu.Unlock()
	readOnly = append(readOnly, span{lo, hi})
	nRO.Store(int32(len(readOnly)))
}

// IsReadOnly reports whether addr lies in memory noted by AddReadOnly. A
// store there would be a fatal fault, so writers ask first.
func IsReadOnly(addr uintptr) bool {
	return nRO.Load() != 0 && lookup(addr)
}

// AnyReadOnly is a quicker question: whether any memory was noted.
func AnyReadOnly() bool { return nRO.Load() != 0 }

func lookup(addr uintptr) bool {
	mu.Lock()
	defer mu.Unlock()
	for _, s := range readOnly {
		if s.lo <= addr && addr < s.hi {
			return true
		}
	}
	return false
}
