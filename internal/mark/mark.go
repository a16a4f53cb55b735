// Package mark names the points between the steps of a protocol, so that a test
// can kill or stop a process exactly there (T19).
//
//	if m.word.CompareAndSwap(held, free) { // E-M5
//		mark.At("E-M5 released not woken")
//		wake(...)
//	}
//
// A name is unique in the module and has no colon: the edge, then where we are.
//
// Without the build tag "marks" At is empty and inlined away. With it, what
// happens where is asked for by the environment of the process,
//
//	INTERLOCK_MARK=NAME[:N][:ACTION]
//
// or in the program, once it has set its scene, by Arm with the same text. The
// action happens at the N-th passage counted from there (1 unless given), once.
//
//	kill   SIGKILL; the default
//	stop   SIGSTOP; goes on after SIGCONT
//	exit   os.Exit(0)
//	panic  a panic that nobody recovers from
//	exec   execve of sleep(1): same pid, another program
//
// Or the program has a function of its own called at every mark: Watch.
//
// kill and stop are sent by the marked thread to itself, so it executes nothing
// of this module behind the mark. (Its sibling threads run on for the
// microseconds the kernel takes to reach them, as in any death.)
package mark

// Env is the environment variable that arms a mark at the start of a process.
const Env = "INTERLOCK_MARK"
