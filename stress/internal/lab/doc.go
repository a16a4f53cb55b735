// Package lab moves two real processes step by step, in whatever order one likes, and
// shows what that does to the memory that they share. It is for teaching: "stress demo
// NAME -step" and "-web".
//
//	programs.go  what the processes do: one addition, over and over
//	board.go     the memory that they share
//	lab.go       two processes, and what can be done to them
//	state.go     what there is to see
//	schedule.go  orders of steps as text
//	code.go      the instructions, and the source that they come from
//	proc.go      starting and ending a process
//	cpu.go       moving one instruction by instruction, with ptrace
//	op.go        moving one operation by operation, with a semaphore
//	worker.go    a process, seen from inside
//	text.go      all of it on a terminal
//	keys.go      the same, by key
//
// A step is one machine instruction of the function that is shown; what it calls is gone
// through at full speed, and so is the way from the end of one addition to the next. That
// is the engine "cpu". Where there is no ptrace the processes ask before each operation
// of the source: the engine "op".
//
// Who is moved is one process at a time, so there is one order of all steps, and the
// same order always comes to the same. What a CPU does by itself, its store buffer above
// all, cannot be seen this way: an instruction that is stepped over is complete before
// the next begins. For that the processes run at full speed, together: see Lab.Burst.
package lab
