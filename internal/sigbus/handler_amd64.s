#include "textflag.h"

// The signal handler, entered by the kernel in C's convention:
//
//	DI  signal number
//	SI  *siginfo: code at 8, address at 16
//	DX  *ucontext
//
// It uses registers that C's convention gives away, and no stack, and goes on to
// the handler before it with the three as they came.
TEXT ·handler(SB), NOSPLIT|NOFRAME|TOPFRAME, $0-0
	CMPL 8(SI), $2 // BUS_ADRERR
	JNE  on
	MOVQ 16(SI), AX
	MOVQ ·table(SB), CX
	TESTQ CX, CX
	JZ   on
	MOVQ (CX), R8 // spans to go
	ADDQ $8, CX
again:
	TESTQ R8, R8
	JZ   on
	CMPQ AX, 0(CX)
	JB   no
	CMPQ AX, 8(CX)
	JB   ours
no:
	ADDQ $16, CX
	DECQ R8
	JMP  again
ours:
	MOVQ AX, ·last(SB)
	LOCK
	INCQ ·faults(SB)
	MOVQ $0, 16(SI)
on:
	MOVQ ·next(SB), AX
	JMP  AX

// func handlerPC() uintptr
TEXT ·handlerPC(SB), NOSPLIT, $0-8
	LEAQ ·handler(SB), AX
	MOVQ AX, ret+0(FP)
	RET
