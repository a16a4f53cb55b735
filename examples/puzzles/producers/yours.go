package main

import (
	"runtime"

	"interlock/stress/trial"
)

// The task: two producers put items into a buffer, two consumers get them out. There is
// room for trial.Room. No item may be lost, none may come twice. Who finds the buffer full,
// or empty, must sleep, not look again and again. (Some are killed between two calls; the
// item in their hand is lost, and nothing else.)
//
// Each is a process. Yours is laid over memory that all of them share and that is zero at
// first. Use any call of packages mutex, semaphore and condvar.
//
// Check it:  go run ./examples/puzzles/producers
// As it is now two consumers take the same item before either counts it as gone; and who
// waits burns a CPU.
type Yours struct {
	Items   [trial.Room]uint64
	In, Out uint64 // items so far
}

// Arrive is called once in each process.
func (y *Yours) Arrive() {}

// Put waits until there is room, and puts an item in.
func (y *Yours) Put(item uint64) {
	for y.In-y.Out >= trial.Room {
		runtime.Gosched()
	}
	y.Items[y.In%trial.Room] = item
	y.In++
}

// Get waits until there is an item, and gets it out.
func (y *Yours) Get() uint64 {
	for y.In == y.Out {
		runtime.Gosched()
	}
	item := y.Items[y.Out%trial.Room]
	y.Out++
	return item
}
