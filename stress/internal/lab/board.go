package lab

import (
	"sync/atomic"

	"interlock/mutex"
	"interlock/semaphore"
	"interlock/shm"
)

// board is the memory that the two processes share with each other, and with whoever
// moves them. What they work on comes first.
type board struct {
	N     uint64 // the counter
	_     [56]byte
	Lock  mutex.Mutex
	Taken uint32 // the lock of our own
	_     [20]byte

	Repairs atomic.Uint32
	Dead    atomic.Uint32 // whom the last repair was for
	Mender  atomic.Uint32 // who did it
	Met     atomic.Uint32 // who has come to the start of a burst
	Parties atomic.Uint32 // of how many
	_       [44]byte

	Seats [2]seat
}

// A seat is what belongs to one process.
type seat struct {
	Gate    semaphore.Semaphore // a permit to go on
	Arrived semaphore.Semaphore // a permit for each time that it stands at the gate

	Base  atomic.Uint64 // where it sees the board
	Code  atomic.Uint64 // and its program
	Ready atomic.Uint32

	At    atomic.Uint32 // before which operation it stands: engine op
	Home  atomic.Uint32 // it is between two additions: engine op
	Local atomic.Uint64 // and what its v is
	Free  atomic.Uint32 // it need not ask until it is home

	Burst atomic.Uint64 // so many additions at full speed are next
	Done  atomic.Uint64 // additions
}

const boardSize = 4096

func layBoard(seg *shm.Segment) (*board, error) { return shm.At[board](seg.Bytes(), 0) }
