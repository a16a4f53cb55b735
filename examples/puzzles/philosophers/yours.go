package main

import (
	"interlock/mutex"
	"interlock/stress/trial"
)

// The task: five philosophers sit around a table, a fork between each two. Who eats needs
// the fork on the left and the one on the right. No fork may be in two hands, nobody may
// starve, and when one is killed at the table, the others must eat on.
//
// Each is a process. Yours is laid over memory that all of them share and that is zero at
// first. Use any call of packages mutex, semaphore and condvar. Say s.Took right after you
// have a fork, and s.Gave right before you give it up: that is how the check knows.
//
// Check it:  go run ./examples/puzzles/philosophers
// As it is now all take the left fork, wait for the right one, and wait for ever.
type Yours struct {
	Forks [trial.Seats]mutex.Mutex
}

// Arrive is called once in each process.
func (y *Yours) Arrive() {}

// Dine is one meal.
func (y *Yours) Dine(s trial.Seat) {
	left, right := s.Left(), s.Right()

	y.Forks[left].Lock()
	s.Took(left)
	y.Forks[right].Lock()
	s.Took(right)

	s.Eat()

	s.Gave(right)
	y.Forks[right].Unlock()
	s.Gave(left)
	y.Forks[left].Unlock()
}
