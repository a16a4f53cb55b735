//go:build amd64 || arm64

package spin

// Pause runs the CPU's "I am spinning" instruction n times: PAUSE on amd64, ISB
// on arm64. It lends the core's execution units to the other hyper-thread and
// saves power; one round takes 10 to 60 ns, by CPU.
//
// Contract:
//   - it touches no memory and orders none: the caller's loop reads the word
//     with an atomic load each time;
//   - it never yields to the scheduler and cannot be preempted, so n is small
//     (tens, not thousands): a stop-the-world waits for it.
//
//go:noescape
func Pause(n uint32)
