package shm

import (
	"io/fs"

	"interlock/internal/region"
)

// Errors about the name.
var (
	// ErrExist: the name is taken. Matches fs.ErrExist.
	ErrExist error = &kind{"the name is taken", fs.ErrExist}
	// ErrNotExist: nothing has that name. Matches fs.ErrNotExist.
	ErrNotExist error = &kind{"nothing has that name", fs.ErrNotExist}
	// ErrNotReady: the object exists, but whoever made it has not given it a
	// size, or a header, yet.
	ErrNotReady error = &kind{"not ready", nil}
	// ErrRemoved: the object mapped here no longer has a name; whoever opens
	// the name now gets another object, or none.
	ErrRemoved error = &kind{"the name was removed", nil}
)

// Errors about what the object holds.
var (
	// ErrLayout: the bytes are not what this program takes them for.
	ErrLayout error = &kind{"layout mismatch", nil}
	// ErrVersion: made by another version of this package.
	ErrVersion error = &kind{"version mismatch", nil}
	// ErrTruncated: shorter than it must be.
	ErrTruncated = region.ErrTruncated
	// ErrPIDNamespace: made in another PID namespace, where the same number
	// means another process, so that dead owners cannot be told from live
	// ones (P-K7).
	ErrPIDNamespace error = &kind{"PID namespace mismatch", nil}
	// ErrUnsealed: it lacks seals that this program insists on, so somebody
	// could still change what must not change.
	ErrUnsealed error = &kind{"not sealed", nil}
)

// Errors about this process's view.
var (
	// ErrClosed: the Segment was closed. Matches fs.ErrClosed.
	ErrClosed error = &kind{"segment is closed", fs.ErrClosed}
	// ErrBusy: this process waits for, or holds, something inside the memory.
	ErrBusy = region.ErrBusy
)

// kind is a sentinel that also matches a sentinel of the standard library.
type kind struct {
	text string
	std  error
}

func (k *kind) Error() string { return k.text }
func (k *kind) Unwrap() error { return k.std }

// tagged is an error that matches a sentinel without printing it, where the
// message already says all.
type tagged struct {
	error
	is error
}

func (t tagged) Unwrap() []error { return []error{t.error, t.is} }
