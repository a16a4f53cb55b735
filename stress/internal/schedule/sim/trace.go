package sim

import (
	"fmt"
	"runtime"
	"strings"
)

// trace writes down what the current thread does.
func (w *World) trace(what string) {
	if w.Trace {
		w.tracef("%v %s", w.current, what)
	}
}

func (w *World) tracef(format string, args ...any) {
	if w.Trace {
		w.result.Trace = append(w.result.Trace, fmt.Sprintf("%5d  ", w.result.Choices)+fmt.Sprintf(format, args...))
	}
}

// Mark notes that the current thread passes a named point between two steps.
func Mark(name string) {
	if w := world; w.Trace && !w.over {
		w.trace("-- " + name)
	}
}

// Changed is told of each access to memory that may be shared, after it. op is for
// people to read.
func Changed(at uintptr, op string, was, now uint64) {
	w := world
	if w == nil || w.over || w.current == nil {
		return
	}
	offset, ok := w.offset(at)
	if !ok {
		return
	}
	if w.Trace {
		w.trace(fmt.Sprintf("%s %s %s   %s", op, nameOf(offset), change(was, now), caller()))
	}
	if w.Watch != nil && was != now {
		w.Watch(offset, was, now)
	}
}

func change(was, now uint64) string {
	if was == now {
		return fmt.Sprintf("%#x", was)
	}
	return fmt.Sprintf("%#x -> %#x", was, now)
}

// Names tells what lies where in the shared memory, for traces.
var Names = map[uint64]string{}

func nameOf(offset uint64) string {
	for back := uint64(0); back <= min(offset, 64); back += 4 {
		if name, ok := Names[offset-back]; ok {
			if back == 0 {
				return name
			}
			return fmt.Sprintf("%s+%d", name, back)
		}
	}
	return fmt.Sprintf("+%#x", offset)
}

// caller is the line of the library that does the current operation.
func caller() string {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if _, after, ok := strings.Cut(f.File, "/schedule/gen/p"); ok {
			_, file, _ := strings.Cut(after, "/")
			return fmt.Sprintf("%s:%d", file, f.Line)
		}
		if !more {
			return ""
		}
	}
}
