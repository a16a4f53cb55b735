// Package history judges what lanes have written down of their operations: when each was
// called, had what it wanted, and gave it away, by one clock for all processes.
//
//	ops.go        the operations that are kept of a run
//	exclusive.go  of a lock: no two were inside at the same time. For histories of any length
//	linear.go     of a few operations: is there an order of them, each between its call and
//	              its return, that a sequential object would show?
//
// An operation of a process that was killed has no end: it may have taken effect at any
// time since, or never.
package history
