#include "textflag.h"

// func Pause(n uint32)
//
// PAUSE also keeps the pipeline from filling with speculative loads of the
// word, whose mis-speculation would cost a flush at the very moment the lock
// becomes free.
TEXT ·Pause(SB), NOSPLIT, $0-4
	MOVL n+0(FP), CX
	TESTL CX, CX
	JZ done // PAUSE 2^32 times would be minutes
again:
	PAUSE
	DECL CX
	JNZ again
done:
	RET
