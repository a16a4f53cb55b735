// Package inspect looks at primitives in shared memory from outside: who holds
// what, who waits, who died, and what to do about it.
//
//	source.go     what to look at: a name, a path, a System V segment
//	process.go    the same for all that one process maps
//	describe.go   where the primitives lie, by the description in Share's header
//	place.go      the same, by -type; and by what the last owners left behind
//	words.go      the bytes of each primitive, taken apart
//	census.go     who maps it, and which threads sleep on which word
//	person.go     what a process is doing: running, stopped, frozen, traced
//	scene.go      one look: all of it put together
//	judge.go      the verdict on each mutex, and its next action
//	verdicts.go   the same for the other primitives, and for the whole object
//	cycle.go      who waits for whom, in a circle
//	confirm.go    only what stays is a finding: looking twice, and watching
//	text.go       what people read
//
// It only reads. The memory is copied with pread or from /proc/PID/mem, once for
// each look, and never mapped for that: a file that is cut short under it is a
// short read, and any bytes in it are only wrong, never an accident. (A System V
// segment cannot be read without attaching it: read-only, for the moment.)
//
// What cannot be seen from outside: goroutines that wait within the process that
// holds the lock, or behind the one of their process that sleeps in the kernel; who
// has a repair registered; when a lock was taken. What the report says of time comes
// from the scheduler: since when a thread has not run.
package inspect
