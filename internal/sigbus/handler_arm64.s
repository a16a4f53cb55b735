#include "textflag.h"

// The signal handler, entered by the kernel in C's convention:
//
//	R0  signal number
//	R1  *siginfo: code at 8, address at 16
//	R2  *ucontext: the same address once more at 176, which is the one Go reads here
//
// It uses registers that C's convention gives away, and no stack, and goes on to
// the handler before it with the three as they came.
TEXT ·handler(SB), NOSPLIT|NOFRAME|TOPFRAME, $0-0
	MOVW 8(R1), R9
	CMPW $2, R9 // BUS_ADRERR
	BNE  on
	MOVD 16(R1), R9
	MOVD ·table(SB), R10
	CBZ  R10, on
	MOVD (R10), R11 // spans to go
	ADD  $8, R10
again:
	CBZ  R11, on
	MOVD 0(R10), R12
	CMP  R12, R9
	BLO  no
	MOVD 8(R10), R12
	CMP  R12, R9
	BLO  ours
no:
	ADD  $16, R10
	SUB  $1, R11
	B    again
ours:
	MOVD R9, ·last(SB)
	MOVD $·faults(SB), R12
count:
	LDAXR (R12), R13
	ADD  $1, R13
	STLXR R13, (R12), R14
	CBNZ R14, count
	MOVD ZR, 16(R1)
	MOVD ZR, 176(R2)
on:
	MOVD ·next(SB), R9
	JMP  (R9)

// func handlerPC() uintptr
TEXT ·handlerPC(SB), NOSPLIT, $0-8
	MOVD $·handler(SB), R9
	MOVD R9, ret+0(FP)
	RET
