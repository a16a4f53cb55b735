#include "textflag.h"

// func Loads()
//
// DMB ISHLD: loads before it are done before any load or store after it starts,
// for all CPUs of the inner shareable domain, which is where Linux runs.
TEXT ·Loads(SB), NOSPLIT|NOFRAME, $0-0
	DMB $0x9
	RET

// func Stores()
//
// DMB ISHST: stores before it are visible before any store after it, to the
// same CPUs.
TEXT ·Stores(SB), NOSPLIT|NOFRAME, $0-0
	DMB $0xa
	RET
