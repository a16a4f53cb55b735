// Package fence has the two memory barriers that a seqlock needs and Go's
// atomics cannot express (P-Q3):
//
//   - Loads, for a reader: the payload is read before the sequence is read
//     again. An atomic load keeps *later* accesses behind it, not earlier ones
//     before it.
//   - Stores, for a writer: the odd sequence is visible before the payload
//     changes. An atomic store keeps *earlier* accesses before it, not later
//     ones behind it.
//
// Two parties can reorder: the CPU and the compiler.
//
// The CPU. On arm64 both orders need an instruction (DMB ISHLD, DMB ISHST). On
// amd64 neither does: loads are never reordered with loads nor stores with
// stores in ordinary memory (Intel SDM, volume 3A, "Memory Ordering in P6 and More
// Recent Processor Families"). The exception, non-temporal stores, occurs only
// inside the runtime's memmove of large blocks, which ends in its own SFENCE.
//
// The compiler. Go's compiler threads one memory state through stores, calls and
// atomic operations, and a plain load hangs on the state it was written at: it
// is never moved across any of the three. An assembly stub is a call and thus a
// barrier by itself. An empty function that is inlined leaves nothing behind, so
// on amd64 the order is held by the atomic access that the contract demands on
// one side. That costs nothing, where a stub on a 10 ns path costs a tenth of it;
// TestCompilerKeepsOrder looks at the machine code.
//
// Any other architecture gets a full barrier from an atomic read-modify-write.
package fence
