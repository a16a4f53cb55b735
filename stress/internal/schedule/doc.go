// Package schedule runs the library's own source under a scheduler that decides at each
// step of each thread who does the next one, and tries the schedules in order or at
// random.
//
//	rewrite.go   the source, with imports, channels and goroutines of the simulation
//	generate.go  a copy for each process, as an overlay for go build
//	run.go       builds the program and runs it; the same for each mutant
//	sim          the machine: threads, shared memory, kernel, time, death
//	play         what processes do in a scenario, written against the library
//	oracle       what must hold whatever the schedule
//	explore      the scenarios, and the ways to choose schedules
package schedule
