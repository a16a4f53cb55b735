// Readers is a puzzle: many may read at once, a writer must be alone, and nobody starves.
//
//	go run ./examples/puzzles/readers           checks yours.go, which is yours to edit
//	go run ./examples/puzzles/readers -solved   checks ours.go
package main

import "interlock/stress/trial"

func main() {
	trial.Solve(trial.ReadersWriters[Yours]("readers"), trial.ReadersWriters[Ours]("readers-solved"))
}
