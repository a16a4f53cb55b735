// Package tracer kills a process at every instruction of this library that an operation
// executes, and before, in and after each of its system calls; what other processes see
// of that is judged. (T18)
//
// One such death is a round. There are three survivors, real processes that stay, and a
// victim, a new one each time. Plays say who does what:
//
//	lock.go     Lock, LockContext, TryLock, Unlock; alone, and with several goroutines
//	mend.go     taking over from a dead owner
//	permits.go  semaphores
//	news.go     condition variables
//	values.go   Seqlock and DoubleBuffer
//	names.go    Share
//
// Where the victim is to be killed is found out by letting it act to its end, instruction
// by instruction, a few times (cases.go). The kills then happen at full speed, at a trap
// in the victim's text; where it does not come by at full speed, it is stepped there. As
// it stands at the trap, and so has not executed the instruction, the memory tells what
// must follow: whether it holds the mutex, whether its permit is given.
//
//	everywhere.go  several engines, each with the next case
//	cases.go       one case: where to kill, and then there
//	engine.go      one round
//	hunt.go        the victim under trace
//	round.go       what scripts are made of
//	text.go        which instructions are the library's
//	crew.go        processes, seen from here
//	peer.go        those in C
//	actor.go       and from inside
//	stage.go       the memory that they share
//
// The whole process is traced, all its threads: also the one that sleeps in the kernel
// for others, and the guardian.
package tracer
