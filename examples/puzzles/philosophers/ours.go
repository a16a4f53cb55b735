package main

import (
	"interlock/mutex"
	"interlock/stress/trial"
)

// Ours has two thoughts. Everybody takes the fork with the lower number first: so whoever
// holds the highest of those that are taken waits for nobody. And a fork whose owner was
// killed is as good as any: a mutex tells the next one to take it, who has nothing to
// repair.
type Ours struct {
	Forks [trial.Seats]mutex.Mutex
}

// Arrive says what to do with the forks of the dead.
func (o *Ours) Arrive() {
	for i := range o.Forks {
		o.Forks[i].OnOwnerDeath(func(pid int) error { return nil })
	}
}

// Dine is one meal.
func (o *Ours) Dine(s trial.Seat) {
	first, second := min(s.Left(), s.Right()), max(s.Left(), s.Right())

	o.Forks[first].Lock()
	s.Took(first)
	o.Forks[second].Lock()
	s.Took(second)

	s.Eat()

	s.Gave(second)
	o.Forks[second].Unlock()
	s.Gave(first)
	o.Forks[first].Unlock()
}
