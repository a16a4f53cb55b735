package layout

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Check reports whether values of type t can live in memory that several
// processes map: nil, or an error that names the first offending field by its
// path and says what to use instead: Shared.Users[0].Name, from the name of t
// (T if it has none). All elements of an array have one type, so the first is
// the first offender.
//
// Refused, and the reason (P-G9):
//
//	pointer, slice, string, map, chan, func, interface, unsafe.Pointer
//	               an address of one process means nothing in another, and the
//	               collector never looks for it in mapped memory
//	int, uint, uintptr
//	               their size is the platform's, not the format's
//	bool           a peer can store 2 in it, and Go's behaviour is then undefined
//	package sync   its locks work inside one process only
//
// An array of length 0 holds no bytes, so its element is not looked at: that
// is how types forbid comparison or copying ([0]func()).
func Check(t reflect.Type) error {
	if t == nil {
		return errors.New("type nil is an interface: share a concrete type")
	}
	root := rootName(t)
	c := checker{root: root, passed: map[reflect.Type]bool{}}
	return c.walk(t, root)
}

// checker remembers types that passed, so that a type that appears many
// times is walked once. Recursion ends by itself: a Go type can contain
// itself only through a pointer, slice, map, chan, func or interface, and
// those end the walk.
type checker struct {
	root   string
	passed map[reflect.Type]bool
}

func (c *checker) walk(t reflect.Type, path string) error {
	if c.passed[t] {
		return nil
	}
	if what, hint := refusedByName(t); what != "" {
		return c.refuse(path, what, hint)
	}
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if err := c.walk(f.Type, path+"."+f.Name); err != nil {
				return err
			}
		}
	case reflect.Array:
		if t.Len() > 0 {
			if err := c.walk(t.Elem(), path+"[0]"); err != nil {
				return err
			}
		}
	default:
		if what, hint := refusedByKind(t.Kind()); what != "" {
			return c.refuse(path, what, hint)
		}
	}
	c.passed[t] = true
	return nil
}

func (c *checker) refuse(path, what, hint string) error {
	noun := "field"
	if !strings.ContainsAny(strings.TrimPrefix(path, c.root), ".[") {
		noun = "type" // the type itself, not something inside it
	}
	return fmt.Errorf("%s %s is %s: %s", noun, path, what, hint)
}

// refusedByName knows types whose bytes look harmless, or whose real trouble
// is not the field that a walk would find first.
func refusedByName(t reflect.Type) (what, hint string) {
	name := t.Name()
	if i := strings.IndexByte(name, '['); i >= 0 {
		name = name[:i] // without type arguments
	}
	switch t.PkgPath() {
	case "sync":
		switch name {
		case "Mutex", "RWMutex":
			return "a sync." + name, "it works inside one process only; use interlock/mutex"
		case "Cond":
			return "a sync.Cond", "it works inside one process only; use interlock/condvar"
		case "Once":
			return "a sync.Once", "it works inside one process only; initialise in the init function of shm.Share or shm.OpenOrCreate"
		}
		return "a sync." + name, "it works inside one process only; use interlock/mutex, semaphore or condvar"
	case "sync/atomic":
		switch name {
		case "Pointer", "Value":
			return "an atomic." + name, "it holds an address of this process; use atomic.Uint64 and store an index or offset"
		case "Uintptr":
			return "an atomic.Uintptr", "its size depends on the platform; use atomic.Uint64"
		}
	case "time":
		switch name {
		case "Time":
			return "a time.Time", "it holds a pointer to its zone; store t.UnixNano() in an int64"
		case "Timer", "Ticker":
			return "a time." + name, "it belongs to this process's runtime"
		}
	}
	return "", ""
}

func refusedByKind(k reflect.Kind) (what, hint string) {
	const address = "an address of this process means nothing in another; "
	const holds = "it holds a pointer, which means nothing in another process; "
	switch k {
	case reflect.Pointer:
		return "a pointer", address + "store an index or offset"
	case reflect.UnsafePointer:
		return "an unsafe.Pointer", address + "store an index or offset"
	case reflect.Slice:
		return "a slice", holds + "use an array [N]T and a length"
	case reflect.String:
		return "a string", holds + "use an array [N]byte and a length"
	case reflect.Map:
		return "a map", holds + "use an array of entries"
	case reflect.Chan:
		return "a chan", "it works inside one process only; use a ring of entries with a semaphore or condvar"
	case reflect.Func:
		return "a func", address + "store a number that each process maps to its own function"
	case reflect.Interface:
		return "an interface", holds + "use a concrete type"
	case reflect.Uintptr:
		return "a uintptr", "its size depends on the platform; use uint64"
	case reflect.Int:
		return "an int", "its size depends on the platform; use int64 or int32"
	case reflect.Uint:
		return "a uint", "its size depends on the platform; use uint64 or uint32"
	case reflect.Bool:
		return "a bool", "a peer could store neither 0 nor 1 in it; use uint32 or atomic.Bool"
	}
	return "", ""
}
