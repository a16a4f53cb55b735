// Package demo shows, one at a time, what goes wrong between processes that share
// memory, and what it takes to be right. Each demo is a file of its own, to be read:
//
//	lostupdate.go …  the demos, in the order of list.go
//	list.go          the order that teaches
//	demo.go          what a demo is made of
//	play.go          from the prediction to the last word, with the verdict
//	stage.go         the processes and their memory, as the supervisor has them
//	actor.go         the same, as a process of the demo has them
//	source.go        the code that is shown is the code that runs
//	text.go          80 columns
//
// The processes are this same program, started again as "stress _demo …". What is
// broken is broken in earnest: no random number decides, and no sleep stands in for
// the race. Where one CPU has to do, the processes yield it inside the window now and
// then; the code that is shown says where.
package demo
