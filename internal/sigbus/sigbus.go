// Package sigbus keeps a process alive whose peer made a mapped file shorter.
//
// To touch a page of a mapping that its file no longer reaches raises SIGBUS
// (P-K6), and Go's runtime then ends the process, unless the goroutine said
// debug.SetPanicOnFault first. To say so, and to take it back, in each Lock and
// Unlock costs about as much as they do themselves. This package pays
// nothing until the fault: it places a signal handler before the runtime's, a few
// instructions that ask
//
//	is it a page that its file does not reach (BUS_ADRERR),
//	at an address in memory that this package was told of?
//
// If so, it makes the address that the runtime is about to read that of a nil
// pointer, and the runtime does what it does for one: the goroutine panics with a
// runtime.Error, and can recover. In any case the runtime's handler goes on, so all
// else, faults in other memory included, stays as it is without this package.
//
//	sigbus.go          which memory
//	install_unsafe.go  the handler in its place
//	handler_*.s        the handler
package sigbus

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// ErrTruncated: the file under some memory, or the object, is too short.
var ErrTruncated = errors.New("too short")

type span struct{ lo, hi uintptr }

var (
	mu    sync.Mutex
	spans []span // sorted, disjoint

	// table is what the handler reads: how many spans, then lo and hi of each. It
	// is replaced, never changed. A handler may still read an old one; at worst it
	// misjudges a mapping that is made or unmapped while it is touched.
	table atomic.Pointer[uintptr]

	// Written by the handler.
	faults atomic.Uint64
	last   atomic.Uintptr
)

// Contain makes faults in [lo, hi) panics of the goroutines that cause them,
// until Forget.
func Contain(lo, hi uintptr) {
	mu.Lock()
	defer mu.Unlock()
	i := first(lo)
	if lo >= hi || i < len(spans) && spans[i].lo <= lo && hi <= spans[i].hi {
		return
	}
	install()
	j := i
	for ; j < len(spans) && spans[j].lo <= hi; j++ {
		lo, hi = min(lo, spans[j].lo), max(hi, spans[j].hi)
	}
	publish(slices.Replace(slices.Clone(spans), i, j, span{lo, hi}))
}

// first is the index of the first span that ends at addr or later. The caller
// holds mu.
func first(addr uintptr) int {
	i, _ := slices.BinarySearchFunc(spans, addr, func(s span, addr uintptr) int {
		if s.hi < addr {
			return -1
		}
		return 1
	})
	return i
}

// Contains reports whether faults at addr are contained.
func Contains(addr uintptr) bool {
	mu.Lock()
	defer mu.Unlock()
	for _, s := range spans[first(addr):] {
		if s.lo > addr {
			break
		}
		if addr < s.hi {
			return true
		}
	}
	return false
}

// Forget takes Contain back for [lo, hi), which may be a part.
func Forget(lo, hi uintptr) {
	mu.Lock()
	defer mu.Unlock()
	var left []span
	for _, s := range spans {
		if s.lo < min(s.hi, lo) {
			left = append(left, span{s.lo, min(s.hi, lo)})
		}
		if max(s.lo, hi) < s.hi {
			left = append(left, span{max(s.lo, hi), s.hi})
		}
	}
	publish(left)
}

func publish(now []span) {
	spans = now
	words := make([]uintptr, 1, 1+2*len(now))
	words[0] = uintptr(len(now))
	for _, s := range now {
		words = append(words, s.lo, s.hi)
	}
	table.Store(&words[0])
}

// Faults counts the faults that became panics.
func Faults() uint64 { return faults.Load() }

// Error is what became of a fault, for errors.Is(err, ErrTruncated).
type Error struct{ Addr uintptr }

func (e *Error) Error() string {
	return fmt.Sprintf("the memory at %#x is gone: its file was made %v, or nothing is left to back it with; "+
		"what was in it is lost, close it and begin anew", e.Addr, ErrTruncated)
}

func (e *Error) Unwrap() error { return ErrTruncated }

// Caught, deferred, makes the panic of a fault an error:
//
//	defer sigbus.Caught(&err, sigbus.Faults())
func Caught(err *error, before uint64) {
	r := recover()
	if r == nil {
		return
	}
	if !IsFault(r, before) {
		panic(r)
	}
	*err = &Error{last.Load()}
}

// IsFault reports whether r, from recover, is the panic of a fault, given what
// Faults was before.
func IsFault(r any, before uint64) bool {
	if _, ok := r.(interface{ Addr() uintptr }); ok {
		return true // by debug.SetPanicOnFault
	}
	_, ok := r.(runtime.Error)
	return ok && Faults() != before
}
