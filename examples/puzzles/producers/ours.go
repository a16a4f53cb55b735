package main

import (
	"interlock/condvar"
	"interlock/mutex"
	"interlock/stress/trial"
)

// Ours looks and changes under one mutex, and sleeps on a condition: the wait gives the
// mutex back and sleeps in one step, so that nobody changes anything in between and
// signals before it sleeps. There are two conditions, so a signal never wakes one who
// waits for the other.
type Ours struct {
	Mu       mutex.Mutex
	NotFull  condvar.Cond
	NotEmpty condvar.Cond
	Items    [trial.Room]uint64
	In, Out  uint64 // items so far
}

// Arrive has nothing to do: nobody is killed in Put or Get, so the mutex is never left by
// the dead.
func (o *Ours) Arrive() {}

// Put waits until there is room, and puts an item in.
func (o *Ours) Put(item uint64) {
	o.Mu.Lock()
	for o.In-o.Out == trial.Room {
		o.NotFull.Wait(&o.Mu)
	}
	o.Items[o.In%trial.Room] = item
	o.In++
	o.NotEmpty.Signal()
	o.Mu.Unlock()
}

// Get waits until there is an item, and gets it out.
func (o *Ours) Get() uint64 {
	o.Mu.Lock()
	for o.In == o.Out {
		o.NotEmpty.Wait(&o.Mu)
	}
	item := o.Items[o.Out%trial.Room]
	o.Out++
	o.NotFull.Signal()
	o.Mu.Unlock()
	return item
}
