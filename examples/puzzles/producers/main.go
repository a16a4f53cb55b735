// Producers is a puzzle: a buffer with room for eight between processes that put and get.
//
//	go run ./examples/puzzles/producers           checks yours.go, which is yours to edit
//	go run ./examples/puzzles/producers -solved   checks ours.go
package main

import "interlock/stress/trial"

func main() {
	trial.Solve(trial.Producers[Yours]("producers"), trial.Producers[Ours]("producers-solved"))
}
