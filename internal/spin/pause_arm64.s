#include "textflag.h"

// func Pause(n uint32)
//
// ISB rather than YIELD: YIELD is a no-op on cores without hardware threads,
// which is nearly all of them, so a loop of YIELDs hammers the cache line. ISB
// empties the pipeline and takes about as long as amd64's PAUSE; Rust's
// spin_loop, MySQL and the Go runtime came to the same choice.
TEXT ·Pause(SB), NOSPLIT, $0-4
	MOVWU n+0(FP), R0
	CBZ R0, done
again:
	ISB $15
	SUBW $1, R0, R0
	CBNZ R0, again
done:
	RET
