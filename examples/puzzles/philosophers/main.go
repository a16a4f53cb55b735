// Philosophers is a puzzle: five processes, five forks, and one is killed at the table.
//
//	go run ./examples/puzzles/philosophers           checks yours.go, which is yours to edit
//	go run ./examples/puzzles/philosophers -solved   checks ours.go
package main

import "interlock/stress/trial"

func main() {
	trial.Solve(trial.Philosophers[Yours]("philosophers"), trial.Philosophers[Ours]("philosophers-solved"))
}
