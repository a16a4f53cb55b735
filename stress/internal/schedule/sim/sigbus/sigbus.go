// Package sigbus stands in for interlock/internal/sigbus: no memory goes away here.
package sigbus

import "errors"

// ErrTruncated is never returned.
var ErrTruncated = errors.New("too short")

// Contain does nothing.
func Contain(lo, hi uintptr) {}

// Contains reports that all memory is known.
func Contains(addr uintptr) bool { return true }

// Forget does nothing.
func Forget(lo, hi uintptr) {}

// Faults is how many there were.
func Faults() uint64 { return 0 }

// Caught does nothing: panics go on.
func Caught(err *error, before uint64) {}

// IsFault reports whether r is one.
func IsFault(r any, before uint64) bool { return false }
