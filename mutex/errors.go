package mutex

import (
	"errors"
	"fmt"
)

// Owner death.
var (
	// ErrOwnerDead: the owner died while it held the mutex, and nobody has
	// repaired what it guards. Register a repair with OnOwnerDeath, or leave the
	// mutex to a process that has one.
	ErrOwnerDead = errors.New("mutex: its owner died while holding it")
	// ErrNotRecoverable: a repair, or a C peer, gave the mutex up for good. Make
	// a new segment.
	ErrNotRecoverable = errors.New("mutex: condemned, what it guards could not be repaired")
)

// Memory that is not a mutex for us.
var (
	// ErrNotShared: a C program initialised it without robust or process-shared.
	ErrNotShared = errors.New("mutex: initialised by C without PTHREAD_MUTEX_ROBUST and PTHREAD_PROCESS_SHARED")
	// ErrPIDNamespace: its last owner lives in another PID namespace, where
	// thread IDs mean something else. Run all parties in one PID namespace.
	ErrPIDNamespace = errors.New("mutex: last held in another PID namespace")
)

// An Error is why a mutex could not be locked. errors.Is finds the cause.
type Error struct {
	Err    error // one of the errors above
	PID    int   // the process it is about, 0 if unknown
	Repair error // what the registered repair returned, if it ran
}

func (e *Error) Error() string {
	s := e.Err.Error()
	if e.PID != 0 {
		s += fmt.Sprintf(" (process %d)", e.PID)
	}
	switch {
	case e.Repair != nil:
		s += ": the repair failed: " + e.Repair.Error()
	case e.Err == ErrOwnerDead:
		s += ": this process has no repair registered, see Mutex.OnOwnerDeath"
	}
	return s
}

func (e *Error) Unwrap() []error {
	if e.Repair == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Repair}
}
