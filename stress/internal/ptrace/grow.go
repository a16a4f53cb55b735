package ptrace

// GrowStack is for who is going to be traced: it makes the stack larger than anything
// there will need, so that it neither moves nor grows, which it would by chance, under
// somebody who is stepping. With 64 it grows by 32 KiB.
//
//go:noinline
func GrowStack(depth int) (n byte) {
	var frame [512]byte
	frame[depth] = byte(depth)
	if depth > 0 {
		n = GrowStack(depth - 1)
	}
	return n + frame[depth]
}
