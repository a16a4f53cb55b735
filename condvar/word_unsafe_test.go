package condvar

import (
	"sync/atomic"
	"unsafe"

	"interlock/mutex"
)

// A scene is what the tests share between processes: a mutex, a condition variable
// in cache lines of their own, and counters.
type scene struct {
	m        mutex.Mutex
	_        [24]byte
	c        Cond
	_        [48]byte
	ready    atomic.Int64 // the condition, where it is a count
	_        [56]byte
	passed   atomic.Int64 // waiters that came through
	inside   atomic.Int64 // who believes to hold m
	violated atomic.Int64 // broken promises
	_        [40]byte
}

func at(mem []byte) *scene { return (*scene)(unsafe.Pointer(unsafe.SliceData(mem))) }

func ringAt(mem []byte) *ring { return (*ring)(unsafe.Pointer(unsafe.SliceData(mem))) }
