package main

import (
	"interlock/mutex"
	"interlock/stress/trial"
)

// Ours has no counters: a number does not say which of those it counts is dead. Who reads
// holds a desk of its own; who writes holds all of them. Everybody comes in by the gate,
// which a writer keeps until it leaves: so no reader overtakes a writer that waits for the
// desks. Gate and desks are mutexes, so those of the dead come back.
type Ours struct {
	Gate  mutex.Mutex
	Desks [trial.Visitors]mutex.Mutex
}

// Arrive says that there is nothing to repair in a gate, nor in a desk.
func (o *Ours) Arrive() {
	nothing := func(pid int) error { return nil }
	o.Gate.OnOwnerDeath(nothing)
	for i := range o.Desks {
		o.Desks[i].OnOwnerDeath(nothing)
	}
}

// StartRead takes the reader's own desk.
func (o *Ours) StartRead(me int) {
	o.Gate.Lock()
	o.Desks[me].Lock()
	o.Gate.Unlock()
}

// EndRead gives it back.
func (o *Ours) EndRead(me int) { o.Desks[me].Unlock() }

// StartWrite closes the gate, and waits for every desk.
func (o *Ours) StartWrite(me int) {
	o.Gate.Lock()
	for i := range o.Desks {
		o.Desks[i].Lock()
	}
}

// EndWrite gives all of it back.
func (o *Ours) EndWrite(me int) {
	for i := range o.Desks {
		o.Desks[i].Unlock()
	}
	o.Gate.Unlock()
}
