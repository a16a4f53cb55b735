package park_test

import (
	"sync/atomic"
	"unsafe"

	"interlock/condvar"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/seqlock"
)

// A place is where one goroutine waits for something of its own, in lines of its
// own.
type place struct {
	m      mutex.Mutex
	s      semaphore.Semaphore
	c      condvar.Cond
	served atomic.Int64 // when it was served, by CLOCK_MONOTONIC
	_      [32]byte
}

const placeSize = int(unsafe.Sizeof(place{}))

func placesIn(mem []byte, n int) []place {
	_ = mem[:n*placeSize]
	return unsafe.Slice((*place)(unsafe.Pointer(unsafe.SliceData(mem))), n)
}

// The words by which package park knows those who wait: each is the first of its
// struct.
type sharedWord = atomic.Uint32

func mutexWord(m *mutex.Mutex) *sharedWord             { return (*sharedWord)(unsafe.Pointer(m)) }
func semaphoreWord(s *semaphore.Semaphore) *sharedWord { return (*sharedWord)(unsafe.Pointer(s)) }
func condWord(c *condvar.Cond) *sharedWord             { return (*sharedWord)(unsafe.Pointer(c)) }

// A desk has one of each thing to wait for.
type desk struct {
	m mutex.Mutex
	_ [24]byte
	s semaphore.Semaphore
	c condvar.Cond
	_ [16]byte
	q seqlock.Seqlock[[2]uint64]
}

func deskIn(mem []byte) *desk {
	_ = mem[:unsafe.Sizeof(desk{})]
	return (*desk)(unsafe.Pointer(unsafe.SliceData(mem)))
}

// writersWord is that of the mutex behind a Seqlock's sequence.
func writersWord(q *seqlock.Seqlock[[2]uint64]) *sharedWord {
	return (*sharedWord)(unsafe.Add(unsafe.Pointer(q), 8))
}
