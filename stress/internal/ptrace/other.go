//go:build !amd64

package ptrace

// Supported reports whether this architecture has a tracer.
const Supported = false

// A Tracee is a process, all threads of which are traced: here there is none.
type Tracee struct{ PID int }

// Attach says that it cannot.
func Attach(int) (*Tracee, error) { return nil, ErrUnsupported }

// The methods have no Tracee to be called for.

func (t *Tracee) Start(Mode)                                 {}
func (t *Tracee) Region(func(uintptr) bool, []uintptr) error { return ErrUnsupported }
func (t *Tracee) Trap(uintptr) error                         { return ErrUnsupported }
func (t *Tracee) Clear() error                               { return ErrUnsupported }
func (t *Tracee) Registers(Stop) ([]Register, error)         { return nil, ErrUnsupported }
func (t *Tracee) Resume(Stop, Mode) error                    { return ErrUnsupported }
func (t *Tracee) Follow(Mode, func(Stop) Verdict) error      { return ErrUnsupported }
func (t *Tracee) Freeze() error                              { return ErrUnsupported }
func (t *Tracee) Callers(Stop, int) []uintptr                { return nil }
func (t *Tracee) Kill()                                      {}
func (t *Tracee) Reap()                                      {}
func (t *Tracee) Close()                                     {}
