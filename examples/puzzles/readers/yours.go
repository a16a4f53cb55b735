package main

import (
	"interlock/condvar"
	"interlock/mutex"
)

// The task: four readers and two writers share a page. Readers may be there together; a
// writer must be alone. Nobody may wait for ever, and when one is killed, wherever it is,
// the others must go on. (What a dead writer leaves half written the check mends.)
//
// Each is a process. Yours is laid over memory that all of them share and that is zero at
// first. Use any call of packages mutex, semaphore and condvar. me is the number of who
// calls, less than trial.Visitors.
//
// Check it:  go run ./examples/puzzles/readers
// As it is now a reader comes in while others read, and another before those have left:
// a writer never finds the page free.
type Yours struct {
	Mu               mutex.Mutex
	Free             condvar.Cond
	Readers, Writers uint64 // inside
}

// Arrive is called once in each process.
func (y *Yours) Arrive() {}

// StartRead waits until no writer is there.
func (y *Yours) StartRead(me int) {
	y.Mu.Lock()
	for y.Writers > 0 {
		y.Free.Wait(&y.Mu)
	}
	y.Readers++
	y.Mu.Unlock()
}

// EndRead is the end of what StartRead began.
func (y *Yours) EndRead(me int) {
	y.Mu.Lock()
	y.Readers--
	y.Free.Broadcast()
	y.Mu.Unlock()
}

// StartWrite waits until nobody is there.
func (y *Yours) StartWrite(me int) {
	y.Mu.Lock()
	for y.Readers > 0 || y.Writers > 0 {
		y.Free.Wait(&y.Mu)
	}
	y.Writers++
	y.Mu.Unlock()
}

// EndWrite is the end of what StartWrite began.
func (y *Yours) EndWrite(me int) {
	y.Mu.Lock()
	y.Writers--
	y.Free.Broadcast()
	y.Mu.Unlock()
}
