// Package sim is a machine on which the library's own source runs under a
// scheduler: a few processes, their threads, the memory they share, the kernel's
// futexes and robust lists, time, and death.
//
// Every simulated thread is a goroutine, and only one of them runs: the one that
// has the baton. Before each operation that another thread could notice it stops at
// a point, where a Chooser says what happens next: this thread goes on, another one
// does, time passes, a process is killed, the kernel does a step for the dead. So an
// execution is the list of those choices, and can be had again.
//
//	world.go          an execution: processes, threads, the baton
//	choose.go         points, and what may happen at each
//	clock.go          time: it passes when a choice says so
//	local.go          what is inside a process: channels, select, locks
//	memory_unsafe.go  the shared memory, mapped once for each process
//	futex_unsafe.go   the system calls for waiting and waking
//	calls_unsafe.go   the other system calls
//	death.go          kill, the walk of the robust list, the end of a process
//	procfs.go         what /proc says
//	globals.go        each process's own package variables
//	trace.go          a failed execution, step by step
//
// The packages below it (atomic, sync, time, context, unix, ...) bear the names and
// the functions of those that the library imports, as far as it uses them.
//
// What is not simulated: weak memory (every access happens in the order of the
// schedule), memory that is unmapped or truncated, process IDs used again, signals.
package sim
